-- Removes a channel from its event, as a part of its move to another event. Cuts the speaker and denies all requests that
-- wait.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua; of the event that the channel leaves
-- KEYS[7] hash: channel -> event
-- KEYS[8] speaker key of the channel
-- ARGV[2] channel
-- ARGV[3] the event to which the channel moves
-- ARGV[4] actor
-- Returns the last lease id of the event that the channel leaves, or -1 if the channel does not belong to it.
-- @include leases
begin_epoch_if_lost()
begin_epoch_if_log_is_ahead()
end_expired_pause()
if redis.call('HGET', KEYS[7], ARGV[2]) ~= context.event then return answer(-1) end
end_queue(ARGV[2], 'receiveOnly')
local speaker = read_speaker(ARGV[2], KEYS[8])
redis.call('HSET', KEYS[7], ARGV[2], ARGV[3])
redis.call('SREM', CHANNELS, ARGV[2])
redis.call('DEL', KEYS[8])
if speaker then
  forget_lease(ARGV[2])
  publish_state(ARGV[2], nil)
  append_floor_revoked(ARGV[4], ARGV[2], speaker, 'noPermission', '')
end
return answer(tonumber(redis.call('HGET', META, 'lease')) or 0)
