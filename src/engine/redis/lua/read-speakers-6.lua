-- Reads who holds the floor, who waits for it, and the standing pause, in one step. Makes nothing.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- ARGV[2] JSON list of the channels to read; empty: all of the event
-- ARGV[3] 1: also those of the list that are not known to belong to the event
-- Returns { pause JSON or false, epoch or '', version of the newest message on the floor channel, now (ms),
--           queues of the event (channel, JSON, channel, JSON, ...; see shared/base.lua), empty where a list is read,
--           speaker JSON, speaker JSON, ... } by channel in the order of the list, else ascending, free channels left out.
-- @include base
-- @include floor
local noted = redis.call('HMGET', META, 'epoch', 'floorVersion')
local result = { redis.call('GET', PAUSE), noted[1] or '', tonumber(noted[2]) or 0, now, {} }
local function add(channel, key, raw)
  local speaker = decode_speaker(raw, key)
  if speaker then result[#result + 1] = speaker_json(channel, speaker) end
end
local channels = cjson.decode(ARGV[2])
if #channels == 0 then
  result[5] = redis.call('HGETALL', context.queue)
  for_each_speaker(add)
else
  for _, channel in ipairs(channels) do
    if ARGV[3] == '1' or redis.call('SISMEMBER', CHANNELS, channel) == 1 then
      local key = speaker_key(channel)
      add(channel, key, redis.call('GET', key))
    end
  end
end
return result
