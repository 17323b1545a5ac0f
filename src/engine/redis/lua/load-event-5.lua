-- Reads the whole picture of an event in one step.
--
-- KEYS, ARGV[1]: see shared/log.lua
-- Returns { 1 if the epoch is new, epoch, revision, pause JSON or nil, members: user, JSON, user, JSON, ... }.
-- @include log
return { epoch_is_new and 1 or 0, epoch, revision, redis.call('GET', PAUSE), redis.call('HGETALL', MEMBERS) }
