-- Takes the lock of a channel that no event owns, in the form that routers use. A user who has the lock keeps it.
--
-- KEYS[1] speaker key of the channel
-- ARGV[1] user
-- ARGV[2] value for the key, JSON
-- ARGV[3] how long the lock lasts, ms
-- ARGV[4] pub/sub channel of the channel's state
-- ARGV[5] state of the channel while the user has the lock, JSON
-- Returns { 1 if the user has the lock, else 0, value of the key }.
local raw = redis.call('GET', KEYS[1])
if raw then
  local readable, value = pcall(cjson.decode, raw)
  local is_own = readable and type(value) == 'table' and tostring(value.userId) == ARGV[1]
  return { is_own and 1 or 0, raw }
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return { 1, ARGV[2] }
