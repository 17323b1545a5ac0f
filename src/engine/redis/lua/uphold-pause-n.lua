-- While the event is paused: takes speaker keys that have become free and cuts those who got past the latch by writing
-- Redis themselves. Announces the end of a pause that has run out (shared/log.lua does).
--
-- KEYS[1..5], ARGV[1]: see shared/log.lua
-- KEYS[6..] speaker keys of all channels of the event
-- ARGV[2] JSON list of the channels, in the order of their keys
-- Returns the revision.
-- @include log
-- @include floor
local pause = read_pause()
if not pause then return revision end
local channels = cjson.decode(ARGV[2])
in_chunks(speaker_keys_from(6), function(first, ...)
  for offset, raw in ipairs(redis.call('MGET', ...)) do
    local index = first + offset - 1
    hold_back(pause, channels[index], KEYS[5 + index], raw)
  end
end)
return revision
