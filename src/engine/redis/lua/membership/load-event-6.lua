-- Reads the whole picture of an event in one step. The ends of leases that nobody has announced are announced before.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- Returns { epoch, revision, pause JSON or nil, members: user, JSON, user, JSON, ..., when users were last disconnected by
--           force: user, ms, user, ms, ... }.
-- @include base
-- @include log
-- @include floor
-- @include bans
-- @include queue
-- @include leases
settle_all_leases()
return { epoch, revision, redis.call('GET', PAUSE), redis.call('HGETALL', MEMBERS),
  redis.call('HGETALL', context.disconnected) }
