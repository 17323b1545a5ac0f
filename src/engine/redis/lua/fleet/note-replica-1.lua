-- Stores the report of a replica, or removes a replica that has left. Removes replicas without a recent report. The hash
-- expires when reports stop.
--
-- KEYS[1] hash: replica -> "<time of the report, ms> <report, JSON>"
-- ARGV[1] replica
-- ARGV[2] time after which a report is removed, ms
-- ARGV[3] report, JSON; empty if the replica has left
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
