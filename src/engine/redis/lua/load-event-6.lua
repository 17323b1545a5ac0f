-- Reads the whole picture of an event in one step.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- Returns { epoch, revision, pause JSON or nil, members: user, JSON, user, JSON, ... }.
-- @include base
-- @include log
return { epoch, revision, redis.call('GET', PAUSE), redis.call('HGETALL', MEMBERS) }
