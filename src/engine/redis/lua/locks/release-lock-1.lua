-- Releases the lock of a channel that no event owns, if the user has it.
--
-- KEYS[1] speaker key of the channel
-- ARGV[1] user
-- ARGV[2] pub/sub channel of the channel's state
-- ARGV[3] state of the free channel, JSON
-- Returns 1 if the lock was released, else 0.
local raw = redis.call('GET', KEYS[1])
if not raw then return 0 end
local readable, value = pcall(cjson.decode, raw)
if not readable or type(value) ~= 'table' or tostring(value.userId) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
