-- Extends a lease by its lease time from now, but not beyond the end of its talk time. A lease that is not the present
-- lease of the channel is stale, and the script changes nothing. The lease of a pause's broadcaster lasts as long as the pause.
--
-- A holder who may no longer speak loses the floor: a banned user, a user whom the standing pause holds back, and a user who
-- is not a member of the channel.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8] speaker key of the channel
-- ARGV[2] JSON of {channelId, leaseId, ignoresMembership}
-- Returns { 'renewed', the new end of the lease (ms) }
--      or { 'stale' }: not the present lease, or the holder has lost the floor
--      or { 'moved', event of the channel or false }: the channel does not belong to this event.
-- @include leases
begin_epoch_if_lost()
end_expired_pause()
local request = cjson.decode(ARGV[2])
local owner = redis.call('HGET', KEYS[7], request.channelId)
if owner ~= context.event then return answer({ 'moved', owner }) end

local holder = read_speaker(request.channelId, KEYS[8])
if not holder or holder.leaseId ~= request.leaseId then return answer({ 'stale' }) end
local function may_speak_on()
  if holder.pauseId then return true end
  local pause = read_pause()
  if pause and not is_exempt(pause, holder.userId) then return false end
  if standing_ban(holder.userId) then return false end
  return is_admitted({ userId = holder.userId, ignoresMembership = request.ignoresMembership }, request.channelId)
end
if not may_speak_on() then
  append_floor_revoked('', request.channelId, holder, 'noPermission', '')
  free_floor(request.channelId, KEYS[8])
  return answer({ 'stale' })
end

-- A renewal never shortens a lease, even if Redis's clock was set back.
local expires_at = math.max(holder.expiresAt, math.min(now + holder.leaseMs, holder.talkUntil))
if expires_at > holder.expiresAt then
  holder.expiresAt = expires_at
  write_lease(request.channelId, KEYS[8], holder)
end
return answer({ 'renewed', expires_at })
