-- Reads who holds the floor of channels, and the standing pause, in one step.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7..] speaker keys
-- ARGV[2] JSON list of the channels, in the order of their keys
-- Returns { pause JSON or false, speaker JSON, speaker JSON, ... }, free channels left out.
-- @include base
-- @include floor
local channels = cjson.decode(ARGV[2])
local result = { redis.call('GET', PAUSE) }
local keys = speaker_keys_from(7)
in_chunks(keys, function(first, ...)
  for offset, raw in ipairs(redis.call('MGET', ...)) do
    local index = first + offset - 1
    local speaker = decode_speaker(raw, keys[index])
    if speaker then result[#result + 1] = speaker_json(channels[index], speaker) end
  end
end)
return result
