-- Lifts the ban of a user, also a ban that another program has written.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- ARGV[2] user
-- ARGV[3] actor
-- Returns { 'unbanned', epoch, revision, number of Redis replicas } or { 'none' } if no ban stands.
-- @include ban-entries
begin_epoch_if_lost()
end_expired_pause()
local user = ARGV[2]
if not standing_ban(user) then return answer({ 'none' }) end
redis.call('ZREM', context.banned, user)
redis.call('DEL', ban_key(user))
append_end_of_ban(ARGV[3], user, false)
publish_ban_news()
return answer({ 'unbanned', epoch, revision, replica_count() })
