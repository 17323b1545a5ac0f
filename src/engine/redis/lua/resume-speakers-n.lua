-- Lifts a pause: frees every channel that it holds, as one step and one log entry.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7..] speaker keys of all channels of the event
-- ARGV[2] JSON list of the channels, in the order of their keys
-- ARGV[3] pause id
-- ARGV[4] actor
-- Returns { 'resumed', revision, number of Redis replicas } or { 'other', standing pause JSON or false }
--      or { 'channelsChanged' } if the channels are not all of the event's.
-- @include base
-- @include log
-- @include floor
local replicas = tonumber(string.match(info, 'connected_slaves:(%d+)')) or 0
local standing, standing_json = read_pause()
if not standing or standing.pauseId ~= ARGV[3] then return { 'other', standing_json or false } end
local channels = cjson.decode(ARGV[2])
if not are_all_channels(channels) then return { 'channelsChanged' } end

for index, channel in ipairs(channels) do
  local key = KEYS[6 + index]
  local raw = redis.call('GET', key)
  if is_held_by_pause(raw, standing.pauseId) then
    local speaker = decode_speaker(raw, key)
    redis.call('DEL', key)
    if speaker then publish_state(channel, nil) end
  end
end
redis.call('DEL', PAUSE)
redis.call('HDEL', META, 'pause')
append(ARGV[4], '"kind":"speakersResumed","expired":false,"pauseId":' .. cjson.encode(ARGV[3]))
return { 'resumed', revision, replicas }
