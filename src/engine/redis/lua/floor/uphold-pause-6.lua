-- While the event is paused: takes speaker keys that have become free and cuts those who got past the latch by writing
-- Redis themselves. Announces the end of a pause that has run out, to watchers (shared/log.lua does) and to the channels
-- that have become free by it.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- ARGV[2] how long one look at all channels is enough, ms, whoever has had it: every replica asks, so that the death of
--         one makes no difference
-- Returns 1 if a pause stands.
-- @include base
-- @include log
-- @include floor
-- @include bans
-- @include queue
-- @include leases
local pause = read_pause()
local has_ended = not pause and redis.call('HDEL', META, 'ended') == 1
if not pause and not has_ended then return 0 end
if pause then
  local upheld_at = tonumber(redis.call('HGET', META, 'upheld')) or 0
  -- Redis's clock may have been set back.
  if now >= upheld_at and now - upheld_at < tonumber(ARGV[2]) then return 1 end
  redis.call('HSET', META, 'upheld', integer(now))
end
settle_all_leases()
-- Where a router has freed a floor without a word since the end of the pause, nobody is told that it is free.
for _, channel in ipairs(redis.call('HKEYS', context.queue)) do read_speaker(channel, speaker_key(channel)) end
local freed = {}
for_each_speaker(function(channel, key, raw)
  if pause and is_held_by_pause(raw, pause.pauseId) then return end
  if pause then
    hold_back(pause, channel, key, raw)
  elseif not raw then
    freed[#freed + 1] = channel
  end
end)
publish_same_state(freed, nil)
return pause and 1 or 0
