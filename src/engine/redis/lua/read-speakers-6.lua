-- Reads who holds the floor, who waits for it, and the standing pause, in one step. Makes nothing. The values of speaker
-- keys are returned as they are: thousands of them are taken apart where that holds up nobody but the caller.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- ARGV[2] JSON list of the channels to read; empty: all of the event
-- ARGV[3] 1: also those of the list that are not known to belong to the event
-- Returns { pause JSON or false, epoch or '', version of the newest message on the floor channel, now (ms),
--           queues of the event (channel, JSON, channel, JSON, ...; see shared/base.lua), empty where a list is read,
--           channels, in no order,
--           for keys whose value does not say when it ends: place of the channel from 1, TTL (ms), place, TTL, ...,
--           values of the speaker keys of the first thousand channels, of the next, ...; false: free }.
-- @include base
-- @include floor
local asked = cjson.decode(ARGV[2])
local channels, keys, queues = {}, {}, {}
if #asked == 0 then
  channels, keys = list_channels()
  queues = redis.call('HGETALL', context.queue)
else
  for _, channel in ipairs(asked) do
    if ARGV[3] == '1' or redis.call('SISMEMBER', CHANNELS, channel) == 1 then
      channels[#channels + 1] = channel
      keys[#keys + 1] = speaker_key(channel)
    end
  end
end

local noted = redis.call('HMGET', META, 'epoch', 'floorVersion')
local ttls = {}
local result = { redis.call('GET', PAUSE), noted[1] or '', tonumber(noted[2]) or 0, now, queues, channels, ttls }
in_chunks(keys, function(first, ...)
  local values = redis.call('MGET', ...)
  for offset, raw in ipairs(values) do
    if raw and not string.find(raw, '"expiresAt":', 1, true) then
      local index = first + offset - 1
      ttls[#ttls + 1] = index
      ttls[#ttls + 1] = redis.call('PTTL', keys[index])
    end
  end
  result[#result + 1] = values
end)
return result
