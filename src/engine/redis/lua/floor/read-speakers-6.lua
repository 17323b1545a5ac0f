-- Reads the speakers of an event, the requests that wait, and the standing pause, in one step. Writes nothing. Returns the
-- values of speaker keys unchanged: the caller parses them, so that thousands of them do not hold Redis up.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- ARGV[2] JSON list of the channels to read; empty: all channels of the event
-- ARGV[3] 1: also read channels of the list that are not in the index of the event
-- Returns { pause JSON or false, epoch or '', version of the newest message on the floor channel, now (ms),
--           queues of the event (channel, JSON, channel, JSON, ...; see shared/base.lua), empty if ARGV[2] has channels,
--           JSON of the speakers of all busy channels, see speakers_json; the TTL of a key is 0 if the value contains the
--           time of its end }.
-- @include speakers
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
local busy, values, ttls = {}, {}, {}
for_each_value(keys, function(index, raw)
  if not raw then return end
  busy[#busy + 1] = channels[index]
  values[#values + 1] = raw
  ttls[#ttls + 1] = string.find(raw, '"expiresAt":', 1, true) and 0 or redis.call('PTTL', keys[index])
end)
local speakers = speakers_json(busy, values, ttls)
return { redis.call('GET', PAUSE), noted[1] or '', tonumber(noted[2]) or 0, now, queues, speakers }
