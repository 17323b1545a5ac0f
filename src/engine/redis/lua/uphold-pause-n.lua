-- While the event is paused: takes speaker keys that have become free and cuts those who got past the latch by writing
-- Redis themselves. Announces the end of a pause that has run out, to watchers (shared/log.lua does) and to the channels
-- that have become free by it.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7..] speaker keys of all channels of the event
-- ARGV[2] JSON list of the channels, in the order of their keys
-- Returns the revision.
-- @include base
-- @include log
-- @include floor
local pause = read_pause()
local has_ended = not pause and redis.call('HDEL', META, 'ended') == 1
if not pause and not has_ended then return revision end
local channels = cjson.decode(ARGV[2])
in_chunks(speaker_keys_from(7), function(first, ...)
  for offset, raw in ipairs(redis.call('MGET', ...)) do
    local index = first + offset - 1
    local channel, key = channels[index], KEYS[6 + index]
    if has_ended then
      if not raw then publish_state(channel, nil) end
    elseif redis.call('SISMEMBER', CHANNELS, channel) == 1 then
      hold_back(pause, channel, key, raw)
    end
  end
end)
return revision
