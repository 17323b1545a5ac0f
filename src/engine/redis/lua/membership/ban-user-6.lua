-- Bans a user and disconnects the user in the event, as one step. Replaces a ban that stands.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- ARGV[2] user
-- ARGV[3] reason
-- ARGV[4] actor
-- ARGV[5] duration, ms; empty: the ban holds until it is lifted
-- Returns { ban JSON, epoch, revision, number of Redis replicas }.
-- @include ban-entries
-- @include disconnect
begin_epoch_if_lost()
begin_epoch_if_log_is_ahead()
end_expired_pause()
local user, reason, actor, duration = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local expires_at = duration and now + duration or PERMANENT
redis.call('ZADD', context.banned, integer(expires_at), user)
redis.call('DEL', ban_key(user))
redis.call('HSET', ban_key(user), 'userId', user, 'bannedBy', actor, 'bannedAt', integer(now), 'expiresAt',
  duration and integer(expires_at) or 'permanent', 'reason', reason)
if duration then redis.call('PEXPIREAT', ban_key(user), integer(expires_at)) end
append_ban(actor, user, expires_at)
disconnect_user(actor, user, reason)
publish_ban_news()
return answer({ ban_json(user, expires_at), epoch, revision, replica_count() })
