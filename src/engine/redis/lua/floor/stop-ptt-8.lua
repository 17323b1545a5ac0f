-- Releases the floor of a channel, or a place in its queue, if the caller has one of them. The next request that waits gets
-- the floor in the same step. Publishes the speaker only if it has changed.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8] speaker key of the channel
-- ARGV[2] JSON of {channelId, leaseId} or {channelId, userId, sessionId}
-- Returns { 'released' }
--      or { 'stale' }: the caller has neither the floor nor a place
--      or { 'moved', event of the channel or false }: the channel does not belong to this event.
-- @include leases
begin_epoch_if_lost()
end_expired_pause()
local request = cjson.decode(ARGV[2])
local owner = redis.call('HGET', KEYS[7], request.channelId)
if owner ~= context.event then return answer({ 'moved', owner }) end

local holder = read_speaker(request.channelId, KEYS[8])
if not holder then return answer({ 'stale' }) end
if request.userId and leave_queue(request.channelId, request.userId, request.sessionId) then
  return answer({ 'released' })
end
local is_own
if request.leaseId then
  is_own = holder.leaseId == request.leaseId
else
  is_own = holder.userId == request.userId and (not holder.leaseId or (holder.sessionId or '') == request.sessionId)
end
if not is_own then return answer({ 'stale' }) end

free_floor(request.channelId, KEYS[8])
return answer({ 'released' })
