-- Takes a user's floors away and has every router drop all his sockets in the event, as one step.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- ARGV[2] user
-- ARGV[3] reason
-- ARGV[4] actor
-- Returns { epoch, revision, number of Redis replicas }.
-- @include base
-- @include log
-- @include floor
-- @include bans
-- @include queue
-- @include leases
-- @include disconnect
disconnect_user(ARGV[4], ARGV[2], ARGV[3])
return { epoch, revision, tonumber(string.match(info, 'connected_slaves:(%d+)')) or 0 }
