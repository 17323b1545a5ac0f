-- Removes a channel from the index of an event, after another program has given the channel to another event. Ends the pause,
-- the lease and the waiting requests of the event that lost the channel. Keeps those of the other event.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua; of the event that has lost the channel
-- KEYS[7] hash: channel -> event
-- KEYS[8] speaker key of the channel
-- ARGV[2] channel
-- ARGV[3] actor
-- Returns nothing. Does nothing if the channel still belongs to the event.
-- @include leases
begin_epoch_if_lost()
end_expired_pause()
local channel, key = ARGV[2], KEYS[8]
if redis.call('HGET', KEYS[7], channel) == context.event then return answer() end
redis.call('SREM', CHANNELS, channel)
end_queue(channel, 'receiveOnly')
local noted_lease, raw = redis.call('HGET', context.leases, channel), redis.call('GET', key)
local speaker, pause = decode_speaker(raw, key), read_pause()
if noted_lease then settle_lease(channel, key, noted_lease, raw, speaker) end
-- A lease that still runs is still in the leases hash.
local is_ours = redis.call('HEXISTS', context.leases, channel) == 1 or (pause and is_held_by_pause(raw, pause.pauseId))
if not is_ours then return answer() end
redis.call('DEL', key)
forget_lease(channel)
if speaker then
  publish_state(channel, nil)
  append_floor_revoked(ARGV[3], channel, speaker, 'noPermission', '')
end
return answer()
