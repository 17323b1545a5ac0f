-- The queues for the floors of channels. Including it writes nothing.
--
-- While the event is paused no request waits, because a pause ends all requests and no new ones are accepted. So every
-- request in a queue may be served. A channel has a free floor and waiting requests only if a router has freed the floor by
-- writing Redis itself, and only until the next script.
-- @include floor
-- @include bans

-- The length of a lease from the queue until it is renewed, ms. It is short because the user may have left. Equal to
-- CLAIM_TIME_MS of src/domain/floor.ts.
local CLAIM_MS = 3000
-- The time until the next check of a floor that a router may free without a message, ms.
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

-- Returns the waiting requests, the next one first. Denies and removes each request that has waited for too long.
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

-- Removes the request of a session from the queue. Returns it, or nil if the session does not wait.
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

-- Denies all requests of a user, in every queue of the event.
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

-- Denies all requests for the floor of a channel.
local function end_queue(channel, cause)
  for _, request in ipairs(read_queue(channel)) do append_request_denied(channel, request, cause) end
  redis.call('HDEL', context.queue, channel)
end

-- Returns true if request a is served before request b: the higher priority first, then the older.
local function goes_before(a, b)
  if a.priority == b.priority then return a.queueId < b.queueId end
  return outranks(a.priority, b.priority)
end

-- Adds a request to the queue. `place` is the earlier request of the same session, or nil. The new request keeps the age of
-- the earlier one. If the queue is full, a request of higher priority replaces the last one. Returns the request, its
-- position and the number of waiting requests; nil if there is no room.
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

-- Gives a free floor to the first request that may speak, and announces it. Returns the speaker, or nil if no request
-- waits.
local function serve_queue(channel, key)
  local queue = read_queue(channel)
  -- A router may have moved the channel to another event without a message. Then the requests in this event are denied.
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

-- Returns the time of the next check of a busy channel's queue, ms; nil if no request waits.
local function next_look(channel, holder)
  local queue = read_queue(channel)
  local look_at = nil
  for _, request in ipairs(queue) do look_at = math.min(look_at or request.endsAt, request.endsAt) end
  if look_at and not (holder and holder.leaseId) then look_at = math.min(look_at, now + FOREIGN_LOOK_MS) end
  return look_at
end
