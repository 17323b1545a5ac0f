-- Adds an event to the fleet's list and tells watchers of all events about it, once.
--
-- KEYS[1] events: set of event ids
-- ARGV[1] event
-- ARGV[2] pub/sub channel of new events
-- Returns 1 if it was new, else 0.
local added = redis.call('SADD', KEYS[1], ARGV[1])
if added == 1 then redis.call('PUBLISH', ARGV[2], ARGV[1]) end
return added
