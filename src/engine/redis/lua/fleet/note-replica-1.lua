-- Notes what a replica says of itself, or that it has left. Replicas of which nothing was heard for too long are forgotten
-- in passing, and where nobody is left the whole hash runs out.
--
-- KEYS[1] replicas  hash: replica -> when it said so (ms), a space, and what it said, JSON
-- ARGV[1] replica
-- ARGV[2] how long a replica is remembered, ms
-- ARGV[3] what it says, JSON; empty if it has left
-- Returns 1.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local silence_ms = tonumber(ARGV[2])

if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now, ARGV[3]))
  redis.call('PEXPIRE', KEYS[1], silence_ms)
end

local entries = redis.call('HGETALL', KEYS[1])
for index = 1, #entries, 2 do
  local seen = tonumber(string.match(entries[index + 1], '^%d+'))
  if seen + silence_ms <= now then redis.call('HDEL', KEYS[1], entries[index]) end
end
return 1
