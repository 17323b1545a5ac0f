-- Reads the reports of all replicas and Redis's clock in one step, so that the age of each report is exact.
--
-- KEYS[1] see note-replica-1.lua
-- Returns { now (ms), { replica, time of its report (ms), report JSON, replica, ... } }.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local entries = redis.call('HGETALL', KEYS[1])
local reports = {}
for index = 1, #entries, 2 do
  local seen, report = string.match(entries[index + 1], '^(%d+) (.*)$')
  table.insert(reports, entries[index])
  table.insert(reports, seen)
  table.insert(reports, report)
end
return { now, reports }
