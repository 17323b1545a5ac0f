-- Reads what the replicas have said of themselves, and the clock, in one step.
--
-- KEYS[1] replicas  see note-replica-1.lua
-- Returns { now (ms), { replica, when it said so (ms), JSON, replica, ... } }.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local entries = redis.call('HGETALL', KEYS[1])
local said = {}
for index = 1, #entries, 2 do
  local seen, report = string.match(entries[index + 1], '^(%d+) (.*)$')
  table.insert(said, entries[index])
  table.insert(said, seen)
  table.insert(said, report)
end
return { now, said }
