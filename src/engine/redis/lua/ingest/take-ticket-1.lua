-- Takes a ticket: the next generation of the ingest, above every earlier one and near Redis's clock, and publishes it,
-- so that every subscriber sees it at the same place among the control plane's messages.
--
-- KEYS[1] generation
-- ARGV[1] pub/sub channel of the tickets
-- ARGV[2] the least that the ticket may be: above all that the caller has seen, should the counter have been lost
-- Returns the generation, ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local generation = math.max((tonumber(redis.call('GET', KEYS[1])) or 0) + 1, now, tonumber(ARGV[2]))
local text = string.format('%.0f', generation)
redis.call('SET', KEYS[1], text)
redis.call('PUBLISH', ARGV[1], text)
return generation
