-- Gives the floor of a channel back, if the caller is who holds it; announces it only then.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8] speaker key of the channel
-- ARGV[2] JSON of {channelId, leaseId} or {channelId, userId, sessionId}
-- Returns { 'released' } or { 'stale' } or { 'moved', event of the channel or false }.
-- @include base
-- @include log
-- @include floor
-- @include leases
local request = cjson.decode(ARGV[2])
local owner = redis.call('HGET', KEYS[7], request.channelId)
if owner ~= context.event then return { 'moved', owner } end

local holder = read_speaker(request.channelId, KEYS[8])
if not holder then return { 'stale' } end
local is_own
if request.leaseId then
  is_own = holder.leaseId == request.leaseId
else
  is_own = holder.userId == request.userId and (not holder.leaseId or (holder.sessionId or '') == request.sessionId)
end
if not is_own then return { 'stale' } end

forget_lease(request.channelId)
local pause = read_pause()
local next_holder = nil
if pause then
  next_holder = hold_channel(KEYS[8], pause)
else
  redis.call('DEL', KEYS[8])
end
publish_state(request.channelId, next_holder)
return { 'released' }
