-- Who waits for the floor of a channel, and who is next. Needs log.lua, floor.lua and bans.lua.
--
-- While the event is paused nobody waits: the pause ends all that wait, and lets nobody in. So what is found here may
-- always be served. A floor that is free has nobody who waits for it, but where a router has freed it by writing Redis
-- itself, and no script has come since.

-- How long a lease that came from the queue lasts if it is not renewed, ms: whoever waited may have gone. The same as
-- CLAIM_TIME_MS of src/domain/floor.ts.
local CLAIM_MS = 3000
-- How soon to look again at a floor whose holder may leave without a word to anybody, ms.
local FOREIGN_LOOK_MS = 250

local function append_request_denied(channel, request, cause)
  append('', '"kind":"floorRequestDenied","cause":"' .. cause .. '","channelId":' .. cjson.encode(channel)
    .. ',"userId":' .. cjson.encode(request.userId) .. ',"sessionId":' .. cjson.encode(request.sessionId)
    .. ',"queueId":' .. integer(request.queueId))
end

local function append_request_granted(channel, request, speaker)
  append('', '"kind":"floorRequestGranted","channelId":' .. cjson.encode(channel)
    .. ',"userId":' .. cjson.encode(request.userId) .. ',"userName":' .. cjson.encode(request.userName)
    .. ',"sessionId":' .. cjson.encode(request.sessionId) .. ',"queueId":' .. integer(request.queueId)
    .. ',"leaseId":' .. integer(speaker.leaseId) .. ',"startedAtMs":' .. integer(speaker.timestamp)
    .. ',"expiresAtMs":' .. integer(speaker.expiresAt) .. ',"talkUntilMs":' .. integer(speaker.talkUntil)
    .. ',"priority":"' .. speaker.priority .. '"')
end

local function write_queue(channel, queue)
  if #queue == 0 then
    redis.call('HDEL', context.queue, channel)
  else
    redis.call('HSET', context.queue, channel, cjson.encode(queue))
  end
end

-- Those who wait, next first. Whose time to wait is over is told so, and is not among them.
local function read_queue(channel)
  local raw = redis.call('HGET', context.queue, channel)
  if not raw then return {} end
  local requests, queue = cjson.decode(raw), {}
  for _, request in ipairs(requests) do
    if request.endsAt > now then
      queue[#queue + 1] = request
    else
      append_request_denied(channel, request, 'anotherHasPermission')
    end
  end
  if #queue < #requests then write_queue(channel, queue) end
  return queue
end

-- Takes a session out of the queue. Returns its request, or nil if it does not wait.
local function leave_queue(channel, user, session)
  local queue = read_queue(channel)
  for index, request in ipairs(queue) do
    if request.userId == user and request.sessionId == session then
      table.remove(queue, index)
      write_queue(channel, queue)
      return request
    end
  end
  return nil
end

-- Ends all for which a user waits.
local function leave_queues(user)
  local channels = redis.call('HKEYS', context.queue)
  table.sort(channels)
  for _, channel in ipairs(channels) do
    local queue, left = read_queue(channel), {}
    for _, request in ipairs(queue) do
      if request.userId == user then
        append_request_denied(channel, request, 'receiveOnly')
      else
        left[#left + 1] = request
      end
    end
    if #left < #queue then write_queue(channel, left) end
  end
end

-- Ends all that wait for a channel.
local function end_queue(channel, cause)
  for _, request in ipairs(read_queue(channel)) do append_request_denied(channel, request, cause) end
  redis.call('HDEL', context.queue, channel)
end

-- True if request a is served before b: the higher priority, then the older.
local function goes_before(a, b)
  if a.priority == b.priority then return a.queueId < b.queueId end
  return outranks(a.priority, b.priority)
end

-- Lets a request wait. `place` is what the same session had until now, or nil: it stays as old as it was. Where there is
-- no room, a request of a higher priority takes that of the last. Returns the request, its position and how many wait,
-- or nil if there is no room.
local function enter_queue(channel, request, place)
  local queue = read_queue(channel)
  local entry = {
    queueId = place and place.queueId or next_lease_id(),
    userId = request.userId,
    userName = request.userName,
    sessionId = request.sessionId,
    priority = request.priority,
    talkTimeMs = request.talkTimeMs,
    leaseTimeMs = request.leaseTimeMs,
    ignoresMembership = request.ignoresMembership,
    endsAt = now + request.queue.waitMs,
  }
  if place and outranks(place.priority, entry.priority) then entry.priority = place.priority end
  if #queue >= request.queue.limit then
    local last = queue[#queue]
    if not outranks(entry.priority, last.priority) then return nil end
    append_request_denied(channel, table.remove(queue), 'queueFull')
  end
  local position = 1
  while queue[position] and goes_before(queue[position], entry) do position = position + 1 end
  table.insert(queue, position, entry)
  write_queue(channel, queue)
  return entry, position, #queue
end

-- Gives a floor that is free to the first who waits for it and may speak, and tells so. Returns the speaker, or nil if
-- nobody waits.
local function serve_queue(channel, key)
  local queue = read_queue(channel)
  -- A router may have moved the channel to another event without a word to anybody: nobody waits for it here any more.
  local is_ours = #queue > 0 and redis.call('HGET', context.owners, channel) == context.event
  while #queue > 0 do
    local request = table.remove(queue, 1)
    write_queue(channel, queue)
    if is_ours and is_admitted(request, channel) and not standing_ban(request.userId) then
      local speaker = give_floor(channel, key, request, math.min(request.leaseTimeMs, CLAIM_MS))
      append_request_granted(channel, request, speaker)
      publish_state(channel, speaker)
      return speaker
    end
    append_request_denied(channel, request, 'receiveOnly')
  end
  return nil
end

-- When the queue of a channel that somebody holds is to be looked at again, ms; nil if nobody waits.
local function next_look(channel, holder)
  local queue = read_queue(channel)
  local look_at = nil
  for _, request in ipairs(queue) do look_at = math.min(look_at or request.endsAt, request.endsAt) end
  if look_at and not (holder and holder.leaseId) then look_at = math.min(look_at, now + FOREIGN_LOOK_MS) end
  return look_at
end
