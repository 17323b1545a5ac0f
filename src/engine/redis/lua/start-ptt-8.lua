-- Grants or denies the floor of a channel, checking event, ban, pause, membership and holder in one step. A holder of lower
-- priority loses it in that same step, so that no third can slip in between.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8] speaker key of the channel
-- ARGV[2] request: JSON of {channelId, userId, userName, sessionId, priority, talkTimeMs, leaseTimeMs, actor}
-- Returns { 'granted', lease id, speaker JSON, talk until (ms) }
--      or { 'denied', cause, holder JSON or false, pause JSON or false, JSON of the user's ban or nil }
--      or { 'moved', event of the channel or false } if the channel is not this event's.
-- @include base
-- @include log
-- @include floor
-- @include leases
-- @include bans
local request = cjson.decode(ARGV[2])
local owner = redis.call('HGET', KEYS[7], request.channelId)
if owner ~= context.event then return { 'moved', owner } end

local holder = read_speaker(request.channelId, KEYS[8])
local holder_json = holder and speaker_json(request.channelId, holder) or false
local pause, pause_json = read_pause()
local ban_json = standing_ban(request.userId)
if ban_json then return { 'denied', 'receiveOnly', holder_json, pause_json or false, ban_json } end
if pause and not is_exempt(pause, request.userId) then
  return { 'denied', 'retryAfter', holder_json, pause_json }
end

local raw_member = redis.call('HGET', MEMBERS, request.userId)
local is_member = false
if raw_member then
  for _, channel in ipairs(cjson.decode(raw_member).c) do
    if channel == request.channelId then is_member = true end
  end
end
if not is_member then return { 'denied', 'receiveOnly', holder_json, pause_json or false } end

if holder then
  -- What a pause has given to its broadcaster is his on every device.
  local is_own_session = holder.pauseId or (holder.sessionId or '') == request.sessionId
  if holder.leaseId and holder.userId == request.userId and is_own_session then
    if outranks(request.priority, holder.priority) then
      holder.priority = request.priority
      write_speaker(KEYS[8], holder)
      publish_floor({ floor_change(request.channelId, holder) })
      holder_json = speaker_json(request.channelId, holder)
    end
    return { 'granted', holder.leaseId, holder_json, holder.talkUntil }
  end
  if not outranks(request.priority, holder.priority) then
    return { 'denied', 'anotherHasPermission', holder_json, pause_json or false }
  end
  append_floor_revoked(request.actor, request.channelId, holder, 'preEmpted', request.userId)
end

local talk_until = now + request.talkTimeMs
local speaker = {
  userId = request.userId,
  userName = request.userName,
  timestamp = now,
  leaseId = next_lease_id(),
  expiresAt = math.min(now + request.leaseTimeMs, talk_until),
  talkUntil = talk_until,
  leaseMs = request.leaseTimeMs,
  priority = request.priority,
  sessionId = request.sessionId,
}
write_lease(request.channelId, KEYS[8], speaker)
publish_state(request.channelId, speaker)
return { 'granted', speaker.leaseId, speaker_json(request.channelId, speaker), talk_until }
