-- Reads the whole state of an event in one step. Announces the ends of expired leases first.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- Returns { epoch, revision, pause JSON or nil, members: user, JSON, user, JSON, ..., last forced disconnections: user, ms,
--           user, ms, ..., time of the newest entry (ms) or nil }.
-- @include leases
begin_epoch_if_lost()
begin_epoch_if_log_is_ahead()
begin_epoch_if_members_are_old()
end_expired_pause()
settle_all_leases()
return answer({ epoch, revision, redis.call('GET', PAUSE), redis.call('HGETALL', MEMBERS),
  redis.call('HGETALL', context.disconnected), entry_time(revision) })
