-- Lifts a pause and frees every channel that it holds, as one step and one log entry.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- ARGV[2] pause id
-- ARGV[3] actor
-- Returns { 'resumed', epoch, revision, number of Redis replicas } or { 'other', standing pause JSON or false }.
-- @include floor
begin_epoch_if_lost()
begin_epoch_if_log_is_ahead()
end_expired_pause()
local standing, standing_json = read_pause()
if not standing or standing.pauseId ~= ARGV[2] then return answer({ 'other', standing_json or false }) end

local channels, keys = {}, {}
for_each_speaker(function(channel, key, raw)
  if not is_held_by_pause(raw, standing.pauseId) then return end
  channels[#channels + 1], keys[#keys + 1] = channel, key
end)
delete_keys(keys)
-- Without a broadcaster the channels had no speaker, so that their state stays the same.
if type(standing.broadcaster) == 'table' then publish_same_state(channels, nil) end
redis.call('DEL', PAUSE)
redis.call('HDEL', META, 'pause')
append(ARGV[3], '"kind":"speakersResumed","expired":false,"pauseId":' .. cjson.encode(ARGV[2]))
return answer({ 'resumed', epoch, revision, replica_count() })
