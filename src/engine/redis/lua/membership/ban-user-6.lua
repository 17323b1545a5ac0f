-- Bans a user, in place of a ban that may stand, and disconnects him in the event, as one step.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- ARGV[2] user
-- ARGV[3] reason
-- ARGV[4] actor
-- ARGV[5] duration, ms; empty: until it is lifted
-- Returns { ban JSON, epoch, revision, number of Redis replicas }.
-- @include base
-- @include log
-- @include floor
-- @include bans
-- @include queue
-- @include leases
-- @include disconnect
local user, reason, actor, duration = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local expires_at = duration and now + duration or PERMANENT
redis.call('ZADD', context.banned, integer(expires_at), user)
redis.call('DEL', ban_key(user))
redis.call('HSET', ban_key(user), 'userId', user, 'bannedBy', actor, 'bannedAt', integer(now), 'expiresAt',
  duration and integer(expires_at) or 'permanent', 'reason', reason)
if duration then redis.call('PEXPIREAT', ban_key(user), integer(expires_at)) end
tell_ban(actor, user, expires_at)
disconnect_user(actor, user, reason)
publish_ban_news()
return { ban_json(user, expires_at), epoch, revision, tonumber(string.match(info, 'connected_slaves:(%d+)')) or 0 }
