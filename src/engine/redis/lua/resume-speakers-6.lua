-- Lifts a pause: frees every channel that it holds, as one step and one log entry.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- ARGV[2] pause id
-- ARGV[3] actor
-- Returns { 'resumed', revision, number of Redis replicas } or { 'other', standing pause JSON or false }.
-- @include base
-- @include log
-- @include floor
local replicas = tonumber(string.match(info, 'connected_slaves:(%d+)')) or 0
local standing, standing_json = read_pause()
if not standing or standing.pauseId ~= ARGV[2] then return { 'other', standing_json or false } end

local freed = {}
for_each_speaker(function(channel, key, raw)
  if not is_held_by_pause(raw, standing.pauseId) then return end
  redis.call('DEL', key)
  if parse_speaker(raw) then freed[#freed + 1] = channel end
end)
publish_same_state(freed, nil)
redis.call('DEL', PAUSE)
redis.call('HDEL', META, 'pause')
append(ARGV[3], '"kind":"speakersResumed","expired":false,"pauseId":' .. cjson.encode(ARGV[2]))
return { 'resumed', revision, replicas }
