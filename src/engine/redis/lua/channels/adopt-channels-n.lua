-- Adds channels to the index of their event. Holds them back if the event is paused.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8..] the speaker key of each channel in ARGV[2]
-- ARGV[2] JSON list of the channels, in the order of their speaker keys
-- ARGV[3] the highest lease id that any of these channels can have had in another event
-- Returns nothing. Leaves out channels that belong to another event.
-- @include floor
begin_epoch_if_lost()
end_expired_pause()
if tonumber(ARGV[3]) > (tonumber(redis.call('HGET', META, 'lease')) or 0) then
  redis.call('HSET', META, 'lease', ARGV[3])
end
for index, channel in ipairs(cjson.decode(ARGV[2])) do
  if redis.call('HGET', KEYS[7], channel) == context.event then
    redis.call('SADD', CHANNELS, channel)
    hold_new_channel(channel, KEYS[7 + index])
  end
end
return answer()
