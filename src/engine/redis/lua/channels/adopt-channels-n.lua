-- Puts channels into the index of their event and, while it is paused, holds them back.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8..] speaker keys
-- ARGV[2] JSON list of the channels, in the order of their keys
-- ARGV[3] the last lease id that one of them can have had in another event
-- A channel that belongs to another event is left out.
-- @include base
-- @include log
-- @include floor
if tonumber(ARGV[3]) > (tonumber(redis.call('HGET', META, 'lease')) or 0) then
  redis.call('HSET', META, 'lease', ARGV[3])
end
for index, channel in ipairs(cjson.decode(ARGV[2])) do
  if redis.call('HGET', KEYS[7], channel) == context.event then
    redis.call('SADD', CHANNELS, channel)
    hold_new_channel(channel, KEYS[7 + index])
  end
end
