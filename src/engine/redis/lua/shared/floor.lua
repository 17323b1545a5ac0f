-- Changes the floors of an event and publishes the changes. Including it writes nothing.
--
-- Redis sends no notification when a speaker key expires. So each running lease is also in the leases hash. An entry there means
-- that the end of this lease was not announced yet. The hash does not have leases of a broadcaster, because they end with the
-- pause.
-- @include log
-- @include speakers

-- Returns the JSON of a change of a channel's speaker, for publish_floor. `speaker` is nil for a free floor. `look_at` is the
-- time at which a keeper checks the queue, ms, if a request now waits.
local function floor_change(channel, speaker, look_at)
  if not speaker then return '{"channelId":' .. cjson.encode(channel) .. ',"hasLease":false}' end
  local has_lease = speaker.leaseId ~= nil and speaker.pauseId == nil
  return '{"channelId":' .. cjson.encode(channel) .. ',"holder":' .. speaker_json(channel, speaker)
    .. ',"hasLease":' .. tostring(has_lease) .. (look_at and ',"lookAtMs":' .. integer(look_at) or '') .. '}'
end

-- Publishes changes of speakers, as JSON text, to replicas. Each message gets the next number.
local function publish_changes(changes)
  local version = redis.call('HINCRBY', META, 'floorVersion', 1)
  redis.call('PUBLISH', context.floor, '{"epoch":"' .. epoch .. '","version":' .. integer(version)
    .. ',"timeMs":' .. integer(now) .. ',"changes":[' .. changes .. ']}')
end

-- Publishes a list of changes of speakers to replicas, at most 1,000 changes in a message.
local function publish_floor(changes)
  for first = 1, #changes, 1000 do
    publish_changes(table.concat(changes, ',', first, math.min(first + 999, #changes)))
  end
end

-- Returns the part of a channel's state, in the form that routers read, after the channel id. `speaker` is nil for a free floor.
local function router_state(speaker)
  if not speaker then return ',"currentSpeaker":null,"speakerName":null,"isBusy":false,"lockTimestamp":null}' end
  return ',"currentSpeaker":' .. cjson.encode(speaker.userId) .. ',"speakerName":' .. cjson.encode(speaker.userName)
    .. ',"isBusy":true,"lockTimestamp":' .. integer(speaker.timestamp) .. '}'
end

-- Publishes to routers that all these channels now have this speaker. `channels_json` is the JSON list of their ids. If it
-- contains no escape, this only puts quotes around each id, because encoding thousands of ids would take a sixth of the time.
local function publish_to_routers(channels, channels_json, speaker)
  local state = router_state(speaker)
  local quoted_state = not string.find(channels_json, '\\', 1, true) and '"' .. state
  local call, prefix, suffix = redis.call, context.statePrefix, context.stateSuffix
  for index = 1, #channels do
    local channel = channels[index]
    local body = quoted_state and '{"channelId":"' .. channel .. quoted_state
      or '{"channelId":' .. cjson.encode(channel) .. state
    call('PUBLISH', prefix .. channel .. suffix, body)
  end
end

-- Publishes the new speakers of channels: a list of { channel, speaker or nil }. Replicas get their message before routers get
-- theirs. A replica follows both, and would otherwise take the message to routers for a change by another program.
local function publish_states(states)
  local changes = {}
  for index, state in ipairs(states) do changes[index] = floor_change(state[1], state[2]) end
  publish_floor(changes)
  for index, state in ipairs(states) do publish_to_routers({ state[1] }, changes[index], state[2]) end
end

-- Publishes the new speaker of one channel; nil if it is free.
local function publish_state(channel, speaker)
  publish_states({ { channel, speaker } })
end

-- Publishes one message to replicas: all these channels now have the same speaker, without a lease that ends by itself, or are
-- free (nil). Publishes one message for each channel to routers.
local function publish_same_state(channels, speaker)
  if #channels == 0 then return end
  local holder = speaker and ',"holder":' .. speaker_json('', speaker) or ''
  local channels_json = cjson.encode(channels)
  publish_changes('{"channelIds":' .. channels_json .. holder .. ',"hasLease":false}')
  publish_to_routers(channels, channels_json, speaker)
end

-- Returns the next lease id of the event, greater than every earlier one.
local function next_lease_id()
  local lease_id = math.max((tonumber(redis.call('HGET', META, 'lease')) or 0) + 1, now)
  redis.call('HSET', META, 'lease', integer(lease_id))
  return lease_id
end

-- Returns the value of a speaker key. Keep the order of the fields: LEASE_PATTERN depends on it, and some readers only read the
-- first field.
local function speaker_value(speaker)
  local value = '{"userId":' .. cjson.encode(speaker.userId) .. ',"userName":' .. cjson.encode(speaker.userName)
    .. ',"timestamp":' .. integer(speaker.timestamp) .. ',"leaseId":' .. integer(speaker.leaseId)
    .. ',"expiresAt":' .. integer(speaker.expiresAt) .. ',"talkUntil":' .. integer(speaker.talkUntil)
  if speaker.leaseMs then value = value .. ',"leaseMs":' .. integer(speaker.leaseMs) end
  value = value .. ',"priority":"' .. speaker.priority .. '"'
  if speaker.sessionId then value = value .. ',"sessionId":' .. cjson.encode(speaker.sessionId) end
  if speaker.pauseId then value = value .. ',"pauseId":' .. cjson.encode(speaker.pauseId) end
  return value .. '}'
end

local function write_speaker(key, speaker)
  redis.call('SET', key, speaker_value(speaker), 'PXAT', integer(speaker.expiresAt))
end

-- Writes a lease that ends by itself and adds it to the leases hash. Keep the order of the fields: is_noted_lease depends on it.
local function write_lease(channel, key, speaker)
  write_speaker(key, speaker)
  redis.call('HSET', context.leases, channel, '{"leaseId":' .. integer(speaker.leaseId) .. ',"userId":'
    .. cjson.encode(speaker.userId) .. ',"timestamp":' .. integer(speaker.timestamp) .. ',"expiresAt":'
    .. integer(speaker.expiresAt) .. ',"talkUntil":' .. integer(speaker.talkUntil) .. '}')
end

-- Returns true if a speaker's value certainly belongs to this lease of the leases hash. Does not parse JSON, so it may also return
-- false for a value that belongs to the lease.
local function is_noted_lease(raw, noted_lease)
  local lease_id = string.match(noted_lease, '^{("leaseId":%d+,)')
  return lease_id and string.find(raw, lease_id, 1, true)
end

-- Gives a floor to the user of a request. The new lease lasts `first_ms` until it is renewed. Returns the speaker.
local function give_floor(channel, key, request, first_ms)
  local talk_until = now + request.talkTimeMs
  local speaker = {
    userId = request.userId,
    userName = request.userName,
    timestamp = now,
    leaseId = next_lease_id(),
    expiresAt = math.min(now + first_ms, talk_until),
    talkUntil = talk_until,
    leaseMs = request.leaseTimeMs,
    priority = request.priority,
    sessionId = request.sessionId,
  }
  write_lease(channel, key, speaker)
  return speaker
end

-- Removes a lease that was released or taken away from the leases hash: the caller announces its end. A missing lease is not an
-- error.
local function forget_lease(channel)
  redis.call('HDEL', context.leases, channel)
end

-- Appends that a user has lost the floor of a channel. `lost` has the userId, the timestamp of the grant (ms), and the
-- leaseId if there is one.
local function append_floor_revoked(actor, channel, lost, cause, by_user)
  append(actor, '"kind":"floorRevoked","cause":"' .. cause .. '","channelId":' .. cjson.encode(channel)
    .. ',"userId":' .. cjson.encode(lost.userId) .. ',"startedAtMs":' .. integer(lost.timestamp)
    .. ',"leaseId":' .. integer(lost.leaseId or 0) .. ',"byUserId":' .. cjson.encode(by_user))
end

-- Returns what a standing pause puts on speaker keys: the value, its end (ms) and its speaker. Each of them may be missing.
local function hold_of(pause)
  if type(pause.broadcaster) == 'table' then
    -- All channels are given and end together, so they share one lease.
    local speaker = {
      userId = pause.broadcaster.userId,
      userName = pause.broadcaster.userName,
      timestamp = pause.startedAtMs,
      leaseId = next_lease_id(),
      expiresAt = pause.expiresAtMs,
      talkUntil = pause.expiresAtMs,
      priority = 'emergency',
      pauseId = pause.pauseId,
    }
    return { value = speaker_value(speaker), expiresAt = integer(pause.expiresAtMs), speaker = speaker }
  end
  if not context.legacyRouters then return {} end
  local value = '{"userId":"' .. RESERVED_HOLDER .. '","userName":' .. cjson.encode(pause.reason) .. ',"timestamp":'
    .. integer(pause.startedAtMs) .. ',"expiresAt":' .. integer(pause.expiresAtMs) .. ',"pauseId":'
    .. cjson.encode(pause.pauseId) .. '}'
  return { value = value, expiresAt = integer(pause.expiresAtMs) }
end

-- The result of hold_of for the one pause that the script handles, because every channel gets the same value.
local hold = nil

-- Puts the value of a standing pause on these speaker keys: the broadcaster's lease or, without a broadcaster, the reserved
-- holder. If no router writes Redis directly, there is no reserved holder, and the keys are deleted. Returns the speaker, if there
-- is one. One MSET is faster than a command for each key.
local function hold_channels(keys, pause)
  hold = hold or hold_of(pause)
  if not hold.value then
    delete_keys(keys)
    return nil
  end
  local pairs_to_set = {}
  for index = 1, #keys do
    pairs_to_set[2 * index - 1], pairs_to_set[2 * index] = keys[index], hold.value
  end
  in_chunks(pairs_to_set, function(_, ...) redis.call('MSET', ...) end)
  local call, expires_at = redis.call, hold.expiresAt
  for index = 1, #keys do call('PEXPIREAT', keys[index], expires_at) end
  return hold.speaker
end

-- Puts the value of a standing pause on one speaker key. Returns the speaker, if there is one.
local function hold_channel(key, pause)
  return hold_channels({ key }, pause)
end

-- The results of is_held_by_pause, by value, because a pause puts the same value on thousands of keys.
local held_values = {}

-- Returns true if the pause has put this value on a speaker key. Within one script, always pass the same pause.
local function is_held_by_pause(raw, pause_id)
  if not raw then return false end
  if held_values[raw] == nil then
    local readable, speaker = pcall(cjson.decode, raw)
    held_values[raw] = readable and type(speaker) == 'table' and speaker.pauseId == pause_id
  end
  return held_values[raw]
end

-- Applies a standing pause to one channel, whose speaker key has the value `raw`: holds a free channel, and cuts a speaker
-- who is not exempt.
local function hold_back(pause, channel, key, raw)
  local speaker = decode_speaker(raw, key)
  if raw and not speaker then return end
  if speaker and is_exempt(pause, speaker.userId) then return end
  if not speaker and not context.legacyRouters and type(pause.broadcaster) ~= 'table' then return end
  local holder = hold_channel(key, pause)
  if speaker then
    forget_lease(channel)
    append_floor_revoked(pause.actor, channel, speaker, 'preEmpted', holder and holder.userId or '')
  end
  if speaker or holder then publish_state(channel, holder) end
end

-- Applies the standing pause, if there is one, to a channel that is new to the event.
local function hold_new_channel(channel, key)
  local pause = read_pause()
  if pause then hold_back(pause, channel, key, redis.call('GET', key)) end
end
