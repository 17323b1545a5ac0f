-- Reads who holds the floor, and the standing pause, in one step. Makes nothing.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- ARGV[2] the one channel to read; empty: all of the event
-- Returns { pause JSON or false, speaker JSON, speaker JSON, ... } by channel ascending, free channels left out.
-- @include base
-- @include floor
local result = { redis.call('GET', PAUSE) }
local function add(channel, key, raw)
  local speaker = decode_speaker(raw, key)
  if speaker then result[#result + 1] = speaker_json(channel, speaker) end
end
if ARGV[2] == '' then
  for_each_speaker(add)
else
  local key = speaker_key(ARGV[2])
  add(ARGV[2], key, redis.call('GET', key))
end
return result
