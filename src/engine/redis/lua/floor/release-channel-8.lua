-- Takes a channel that others have given to another event out of the index of the one that has lost it, and ends all that
-- this one has put on it: its pause, a lease, and those who wait. What the other event has put there stays.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua, of the event that has lost it
-- KEYS[7] hash: channel -> event
-- KEYS[8] speaker key of the channel
-- ARGV[2] channel
-- ARGV[3] actor
-- Nothing happens if the channel belongs to the event after all.
-- @include base
-- @include log
-- @include floor
-- @include bans
-- @include queue
-- @include leases
local channel, key = ARGV[2], KEYS[8]
if redis.call('HGET', KEYS[7], channel) == context.event then return end
redis.call('SREM', CHANNELS, channel)
end_queue(channel, 'receiveOnly')
local noted_lease, raw = redis.call('HGET', context.leases, channel), redis.call('GET', key)
local speaker, pause = decode_speaker(raw, key), read_pause()
if noted_lease then settle_lease(channel, key, noted_lease, raw, speaker) end
-- A lease that runs is still noted.
local is_ours = redis.call('HEXISTS', context.leases, channel) == 1 or (pause and is_held_by_pause(raw, pause.pauseId))
if not is_ours then return end
redis.call('DEL', key)
forget_lease(channel)
if speaker then
  publish_state(channel, nil)
  append_floor_revoked(ARGV[3], channel, speaker, 'noPermission', '')
end
