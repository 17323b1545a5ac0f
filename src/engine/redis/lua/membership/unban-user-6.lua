-- Lifts the ban of a user, whoever has written it.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- ARGV[2] user
-- ARGV[3] actor
-- Returns { 'unbanned', epoch, revision, number of Redis replicas } or { 'none' } if no ban stands.
-- @include base
-- @include log
-- @include bans
local user = ARGV[2]
if not standing_ban(user) then return { 'none' } end
redis.call('ZREM', context.banned, user)
redis.call('DEL', ban_key(user))
tell_end_of_ban(ARGV[3], user, false)
publish_ban_news()
return { 'unbanned', epoch, revision, tonumber(string.match(info, 'connected_slaves:(%d+)')) or 0 }
