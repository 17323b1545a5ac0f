-- Changes the floors of an event and publishes the changes. Including it writes nothing.
--
-- Redis sends no notification when a speaker key expires. So the leases hash has each running lease, too: an entry there
-- means that the end of this lease was not announced yet. Leases of a pause's broadcaster are not in it: they end with the
-- pause.
-- @include log
-- @include speakers

-- Returns the JSON of a change of a channel's speaker, for publish_floor; `speaker` is nil for a free floor. `look_at` is
-- when a keeper checks the queue, ms, if a request waits from now on.
local function floor_change(channel, speaker, look_at)
  if not speaker then return '{"channelId":' .. cjson.encode(channel) .. ',"hasLease":false}' end
  local has_lease = speaker.leaseId ~= nil and speaker.pauseId == nil
  return '{"channelId":' .. cjson.encode(channel) .. ',"holder":' .. speaker_json(channel, speaker)
    .. ',"hasLease":' .. tostring(has_lease) .. (look_at and ',"lookAtMs":' .. integer(look_at) or '') .. '}'
end

-- Publishes changes of speakers, which are JSON, to replicas. The number of the message follows the number before it.
local function publish_changes(changes)
  local version = redis.call('HINCRBY', META, 'floorVersion', 1)
  redis.call('PUBLISH', context.floor, '{"epoch":"' .. epoch .. '","version":' .. integer(version)
    .. ',"timeMs":' .. integer(now) .. ',"changes":[' .. changes .. ']}')
end

-- Publishes a list of changes of speakers to replicas, at most 1,000 of them in a message.
local function publish_floor(changes)
  for first = 1, #changes, 1000 do
    publish_changes(table.concat(changes, ',', first, math.min(first + 999, #changes)))
  end
end

-- Returns what follows the channel id in the state that routers read; `speaker` is nil for a free floor.
local function router_state(speaker)
  if not speaker then return ',"currentSpeaker":null,"speakerName":null,"isBusy":false,"lockTimestamp":null}' end
  return ',"currentSpeaker":' .. cjson.encode(speaker.userId) .. ',"speakerName":' .. cjson.encode(speaker.userName)
    .. ',"isBusy":true,"lockTimestamp":' .. integer(speaker.timestamp) .. '}'
end

-- Publishes to routers that all these channels now have this speaker. `channels_json` is the JSON list of their ids. If it
-- contains no escape, each id only needs quotes: encoding thousands of ids would take a sixth of the time.
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

-- Publishes the new speakers of channels: a list of { channel, speaker or nil }. Replicas get the message before routers
-- do, so that a replica which follows both channels does not take the second message for another program's change.
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

-- Publishes that all these channels now have the same speaker, under no lease that ends by itself, or are free (nil). It is
-- one message to replicas.
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

-- Returns the value of a speaker key. LEASE_PATTERN depends on the order of the fields, and some readers only read the
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

-- Writes a lease that ends by itself and adds it to the leases hash. is_noted_lease depends on the order of the fields.
local function write_lease(channel, key, speaker)
  write_speaker(key, speaker)
  redis.call('HSET', context.leases, channel, '{"leaseId":' .. integer(speaker.leaseId) .. ',"userId":'
    .. cjson.encode(speaker.userId) .. ',"timestamp":' .. integer(speaker.timestamp) .. ',"expiresAt":'
    .. integer(speaker.expiresAt) .. ',"talkUntil":' .. integer(speaker.talkUntil) .. '}')
end

-- Returns true if a speaker's value certainly belongs to this lease of the leases hash. Reads neither as JSON, so that false
-- may be wrong.
local function is_noted_lease(raw, noted_lease)
  local lease_id = string.match(noted_lease, '^{("leaseId":%d+,)')
  return lease_id and string.find(raw, lease_id, 1, true)
end

-- Gives a floor to the user who asked for it, under a new lease that lasts `first_ms` at first. Returns the speaker.
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

-- Removes a lease that was given back or taken away: its end is announced otherwise. A missing lease is not an error.
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

-- Returns what a standing pause puts on speaker keys: the value, if any, when it expires (ms), and the speaker in it, if it
-- has one.
local function hold_of(pause)
  if type(pause.broadcaster) == 'table' then
    -- One lease for all channels, which are given and end together.
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

-- What hold_of has returned for the one pause that the script handles: every channel gets the same value.
local hold = nil

-- Puts the value of a standing pause on these speaker keys: the broadcaster's lease, else the reserved holder. Where no
-- router writes Redis directly, there is no reserved holder, and the keys are deleted. Returns the speaker, if there is
-- one. One MSET is faster than a command for each key.
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

-- What is_held_by_pause has returned, by value: a pause puts the same value on thousands of keys.
local held_values = {}

-- Returns true if the pause has put this value on a speaker key. A script asks for one pause only.
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
