-- Extends a lease by its lease time from now, but not beyond the end of its talk time. One that is not the current one
-- any more is stale, and then nothing is touched. The broadcaster's of a pause lasts as long as the pause anyway.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8] speaker key of the channel
-- ARGV[2] JSON of {channelId, leaseId}
-- Returns { 'renewed', when the lease now ends (ms) } or { 'stale' } or { 'moved', event of the channel or false }.
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
if not holder or holder.leaseId ~= request.leaseId then return { 'stale' } end
-- Never earlier than it is: a clock that was set back takes nothing away.
local expires_at = math.max(holder.expiresAt, math.min(now + holder.leaseMs, holder.talkUntil))
if expires_at > holder.expiresAt then
  holder.expiresAt = expires_at
  write_lease(request.channelId, KEYS[8], holder)
end
return { 'renewed', expires_at }
