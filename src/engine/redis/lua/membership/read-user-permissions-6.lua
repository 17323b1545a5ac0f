-- Reads the channels of one user, the revision at which they are valid, the standing pause and the user's ban. Writes nothing,
-- so an event that was never written or watched has no epoch and no revision.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- ARGV[2] user
-- Returns { epoch or nil, revision or nil, pause JSON or nil, member JSON or nil, ban JSON or nil }.
-- @include bans
local noted = redis.call('HMGET', META, 'epoch', 'revision')
return { noted[1], noted[2], redis.call('GET', PAUSE), redis.call('HGET', MEMBERS, ARGV[2]),
  standing_ban(ARGV[2]) or false }
