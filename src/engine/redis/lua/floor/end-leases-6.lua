-- Announces the ends of expired leases, in the log and as changes of speakers. Gives each free floor to the next request that
-- waits. Denies requests that have waited for too long.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- ARGV[2] JSON list of the channels to check; empty: all channels of the event
-- Returns each channel to check again and the time until then, because a lease runs or a request waits: channel, ms, channel,
-- ms, ... A channel may appear twice.
-- @include leases
begin_epoch_if_lost()
end_expired_pause()
local channels = cjson.decode(ARGV[2])
local noted_leases, with_queue = {}, {}
if #channels == 0 then
  noted_leases = redis.call('HGETALL', context.leases)
  with_queue = redis.call('HKEYS', context.queue)
else
  for_each_field(context.leases, channels, function(channel, noted_lease)
    if noted_lease then
      noted_leases[#noted_leases + 1] = channel
      noted_leases[#noted_leases + 1] = noted_lease
    end
  end)
  for_each_field(context.queue, channels, function(channel, queue)
    if queue then with_queue[#with_queue + 1] = channel end
  end)
end
local looks = settle_leases(noted_leases)
for _, channel in ipairs(with_queue) do
  local look_at = next_look(channel, read_speaker(channel, speaker_key(channel)))
  if look_at then
    looks[#looks + 1] = channel
    looks[#looks + 1] = look_at
  end
end
for index = 2, #looks, 2 do looks[index] = math.max(looks[index] - now, 0) end
return answer(looks)
