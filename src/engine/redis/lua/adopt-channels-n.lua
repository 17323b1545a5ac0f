-- Puts channels into the index of their event and, while it is paused, holds them back.
--
-- KEYS[1..5], ARGV[1]: see shared/log.lua
-- KEYS[6] hash: channel -> event
-- KEYS[7..] speaker keys
-- ARGV[2] JSON list of the channels, in the order of their keys
-- ARGV[3] the last lease id that one of them can have had in another event
-- Returns 1 if the epoch is new, else 0. A channel that belongs to another event is left out.
-- @include log
-- @include floor
if tonumber(ARGV[3]) > (tonumber(redis.call('HGET', META, 'lease')) or 0) then
  redis.call('HSET', META, 'lease', ARGV[3])
end
for index, channel in ipairs(cjson.decode(ARGV[2])) do
  if redis.call('HGET', KEYS[6], channel) == context.event then
    redis.call('SADD', CHANNELS, channel)
    hold_new_channel(channel, KEYS[6 + index])
  end
end
return epoch_is_new and 1 or 0
