-- Upholds the pause of an event: holds channels that have become free, and cuts speakers who got past the latch because their
-- router wrote Redis itself. After a pause has expired: announces its end to watchers, frees channels that it still holds
-- (its key was deleted before its time), and announces the free channels.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- ARGV[2] shortest time between two checks of all channels, ms. Every replica runs this script, so that the pause does not
--         depend on one replica, and one check serves all replicas
-- Returns 1 if a pause stands, else 0.
-- @include leases
begin_epoch_if_lost()
end_expired_pause()
local pause = read_pause()
local ended_id = not pause and redis.call('HGET', META, 'ended')
if not pause and not ended_id then return answer(0) end
if pause then
  local upheld_at = tonumber(redis.call('HGET', META, 'upheld')) or 0
  -- Redis's clock may have been set back.
  if now >= upheld_at and now - upheld_at < tonumber(ARGV[2]) then return answer(1) end
  redis.call('HSET', META, 'upheld', integer(now))
else
  redis.call('HDEL', META, 'ended')
end
settle_all_leases()
-- Gives floors that a router has freed by writing Redis itself to the next request that waits.
for _, channel in ipairs(redis.call('HKEYS', context.queue)) do read_speaker(channel, speaker_key(channel)) end
local freed, held_keys = {}, {}
for_each_speaker(function(channel, key, raw)
  local is_held = is_held_by_pause(raw, pause and pause.pauseId or ended_id)
  if pause then
    if not is_held then hold_back(pause, channel, key, raw) end
  elseif is_held or not raw then
    freed[#freed + 1] = channel
    if is_held then held_keys[#held_keys + 1] = key end
  end
end)
delete_keys(held_keys)
publish_same_state(freed, nil)
return answer(pause and 1 or 0)
