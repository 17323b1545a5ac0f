-- Takes a ticket and publishes it. A ticket is the next generation of the ingest: higher than every earlier ticket, and near
-- Redis's clock. Every subscriber receives it at the same place among the control plane's messages.
--
-- KEYS[1] string: the newest ticket
-- ARGV[1] pub/sub channel of the tickets
-- ARGV[2] the lowest allowed ticket: higher than all tickets that the caller has seen, because Redis may have lost KEYS[1]
-- Returns the ticket, ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local generation = math.max((tonumber(redis.call('GET', KEYS[1])) or 0) + 1, now, tonumber(ARGV[2]))
local text = string.format('%.0f', generation)
redis.call('SET', KEYS[1], text)
redis.call('PUBLISH', ARGV[1], text)
return generation
