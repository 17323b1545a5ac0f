-- Reads one user's channels with the position at which they are true and the standing pause.
--
-- KEYS, ARGV[1]: see shared/log.lua
-- ARGV[2] user
-- Returns { 1 if the epoch is new, epoch, revision, pause JSON or nil, member JSON or nil }.
-- @include log
return { epoch_is_new and 1 or 0, epoch, revision, redis.call('GET', PAUSE), redis.call('HGET', MEMBERS, ARGV[2]) }
