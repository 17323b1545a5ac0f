-- While the event is paused: takes speaker keys that have become free and cuts those who got past the latch by writing
-- Redis themselves. Announces the end of a pause that has run out, to watchers (shared/log.lua does) and to the channels
-- that have become free by it.
--
-- KEYS, ARGV: see shared/base.lua
-- Returns the revision.
-- @include base
-- @include log
-- @include floor
-- @include leases
local pause = read_pause()
local has_ended = not pause and redis.call('HDEL', META, 'ended') == 1
if not pause and not has_ended then return revision end
settle_all_leases()
local states = {}
for_each_speaker(function(channel, key, raw)
  if pause then
    hold_back(pause, channel, key, raw)
  elseif not raw then
    states[#states + 1] = { channel, nil }
  end
end)
publish_states(states)
return revision
