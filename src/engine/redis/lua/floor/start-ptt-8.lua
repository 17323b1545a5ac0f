-- Grants or denies the floor of a channel. Checks the event, the ban, the pause, the membership and the holder in one step. If
-- the holder has a lower priority, the same step takes the floor away, so that no other user can take it in between. A request
-- that cannot get the floor may wait for it.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8] speaker key of the channel
-- ARGV[2] request: JSON of {channelId, userId, userName, sessionId, priority, talkTimeMs, leaseTimeMs, ignoresMembership,
--         admitsAllWithoutMembers, actor, queue: {waitMs, limit: the most requests that may wait}, absent if the request does not wait}; times in ms
-- Returns { 'granted', lease id, speaker JSON, end of the talk time (ms) }
--      or { 'queued', holder JSON, queue id, position from 1, number of requests that wait, end of the wait (ms) }
--      or { 'denied', cause, holder JSON or false, pause JSON or false, JSON of the user's ban or nil }
--      or { 'moved', event of the channel or false }: the channel does not belong to this event.
-- @include leases
begin_epoch_if_lost()
end_expired_pause()
local request = cjson.decode(ARGV[2])
local channel, key = request.channelId, KEYS[8]
local owner = redis.call('HGET', KEYS[7], channel)
if owner ~= context.event then return answer({ 'moved', owner }) end

local holder = read_speaker(channel, key)
local holder_json = holder and speaker_json(channel, holder) or false
-- The session leaves its place in the queue: the answer below replaces the earlier one.
local place = holder and leave_queue(channel, request.userId, request.sessionId)
local pause, pause_json = read_pause()
local ban_json = standing_ban(request.userId)
if ban_json then return answer({ 'denied', 'receiveOnly', holder_json, pause_json or false, ban_json }) end
if pause and not is_exempt(pause, request.userId) then
  return answer({ 'denied', 'retryAfter', holder_json, pause_json })
end
if not is_admitted(request, channel) then
  return answer({ 'denied', 'receiveOnly', holder_json, pause_json or false })
end

if holder then
  -- A pause gives the floor to its broadcaster on every device.
  local is_own_session = holder.pauseId or (holder.sessionId or '') == request.sessionId
  if holder.leaseId and holder.userId == request.userId and is_own_session then
    if outranks(request.priority, holder.priority) then
      holder.priority = request.priority
      write_speaker(key, holder)
      publish_floor({ floor_change(channel, holder) })
      holder_json = speaker_json(channel, holder)
    end
    return answer({ 'granted', holder.leaseId, holder_json, holder.talkUntil })
  end
  if not outranks(request.priority, holder.priority) then
    if pause or not request.queue then
      return answer({ 'denied', 'anotherHasPermission', holder_json, pause_json or false })
    end
    local entry, position, waiting = enter_queue(channel, request, place)
    if not entry then return answer({ 'denied', 'queueFull', holder_json, false }) end
    if not place or entry.endsAt < place.endsAt then
      publish_floor({ floor_change(channel, holder, next_look(channel, holder)) })
    end
    return answer({ 'queued', holder_json, entry.queueId, position, waiting, entry.endsAt })
  end
  append_floor_revoked(request.actor, channel, holder, 'preEmpted', request.userId)
end

local speaker = give_floor(channel, key, request, request.leaseTimeMs)
publish_state(channel, speaker)
return answer({ 'granted', speaker.leaseId, speaker_json(channel, speaker), speaker.talkUntil })
