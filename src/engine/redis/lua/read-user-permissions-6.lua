-- Reads one user's channels with the position at which they are true and the standing pause. Makes nothing: an event
-- that nobody has written has no position.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- ARGV[2] user
-- Returns { epoch or nil, revision or nil, pause JSON or nil, member JSON or nil }.
-- @include base
local noted = redis.call('HMGET', META, 'epoch', 'revision')
return { noted[1], noted[2], redis.call('GET', PAUSE), redis.call('HGET', MEMBERS, ARGV[2]) }
