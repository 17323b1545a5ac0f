-- Gives the floor of a channel back, or the place in its queue, if the caller has one of them. A floor given back is the
-- next one's in this very step. Tells who speaks only where that has changed.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8] speaker key of the channel
-- ARGV[2] JSON of {channelId, leaseId} or {channelId, userId, sessionId}
-- Returns { 'released' } or { 'stale' } or { 'moved', event of the channel or false }.
-- @include base
-- @include log
-- @include floor
-- @include bans
-- @include queue
-- @include leases
local request = cjson.decode(ARGV[2])
local owner = redis.call('HGET', KEYS[7], request.channelId)
if owner ~= context.event then return { 'moved', owner } end

local holder = read_speaker(request.channelId, KEYS[8])
if not holder then return { 'stale' } end
if request.userId and leave_queue(request.channelId, request.userId, request.sessionId) then return { 'released' } end
local is_own
if request.leaseId then
  is_own = holder.leaseId == request.leaseId
else
  is_own = holder.userId == request.userId and (not holder.leaseId or (holder.sessionId or '') == request.sessionId)
end
if not is_own then return { 'stale' } end

forget_lease(request.channelId)
local pause = read_pause()
if pause then
  publish_state(request.channelId, hold_channel(KEYS[8], pause))
  return { 'released' }
end
redis.call('DEL', KEYS[8])
if not serve_queue(request.channelId, KEYS[8]) then publish_state(request.channelId, nil) end
return { 'released' }
