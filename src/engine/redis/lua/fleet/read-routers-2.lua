-- Reads the progress of an event's routers and the newest position of its log in one step.
--
-- KEYS[1] see note-router-2.lua
-- KEYS[2] META, see shared/base.lua
-- Returns { now (ms), epoch or nil, revision or nil, routers: router, JSON, router, JSON, ... }.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local head = redis.call('HMGET', KEYS[2], 'epoch', 'revision')
return { now, head[1], head[2], redis.call('HGETALL', KEYS[1]) }
