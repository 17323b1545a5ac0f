-- Needs base.lua, and log.lua for what changes a floor. The floor of a channel is its speaker key, in the form that
-- routers have always written, with fields of our own beside the old ones: leaseId, expiresAt (ms), talkUntil (ms),
-- leaseMs (what a renewal adds), priority, sessionId, and pauseId on what a pause has put there.
--
-- A speaker key that runs out tells nobody, so that the running leases are kept in the leases hash as well: an entry
-- there means that the end of this lease has not been announced. Those of a pause's broadcaster are not among them:
-- they end with the pause.
local RESERVED_HOLDER = 'squelch:pause'

local function speaker_key(channel)
  return context.speakerPrefix .. channel .. context.speakerSuffix
end

-- The channels of the event, in no order: to sort thousands here holds Redis up. And the keys of their speakers, which
-- are made here, not passed in, so that no channel which came since the caller looked is left out.
local function list_channels()
  local channels, keys = redis.call('SMEMBERS', CHANNELS), {}
  local prefix, suffix = context.speakerPrefix, context.speakerSuffix
  for index = 1, #channels do keys[index] = prefix .. channels[index] .. suffix end
  return channels, keys
end

-- Calls fn(channel, key, raw value of the speaker key or false) for every channel of the event.
local function for_each_speaker(fn)
  local channels, keys = list_channels()
  for_each_value(keys, function(index, raw) fn(channels[index], keys[index], raw) end)
end

-- The standing pause, or nil.
local function read_pause()
  local raw = redis.call('GET', PAUSE)
  if not raw then return nil end
  return cjson.decode(raw), raw
end

local function is_exempt(pause, user)
  if type(pause.broadcaster) == 'table' and pause.broadcaster.userId == user then return true end
  for _, exempt in ipairs(pause.exemptUserIds) do
    if exempt == user then return true end
  end
  return false
end

-- True if the channel is among the channels of the user who asks for its floor, or need not be.
local function is_admitted(request, channel)
  if request.ignoresMembership then return true end
  local raw = redis.call('HGET', MEMBERS, request.userId)
  if not raw then return false end
  for _, own in ipairs(cjson.decode(raw).c) do
    if own == channel then return true end
  end
  return false
end

-- Who goes before whom.
local PRIORITY_RANKS = { normal = 1, dispatch = 2, imminentPeril = 3, emergency = 4 }

-- True if somebody of priority a takes the floor from a holder of priority b.
local function outranks(a, b)
  return PRIORITY_RANKS[a] > PRIORITY_RANKS[b]
end

-- A time that others wrote, in whole ms; 0 for what is none.
local function clean_time(value)
  local time = tonumber(value)
  if not time or time ~= time or time <= 0 or time >= 1e15 then return 0 end
  return math.floor(time)
end

local function clean_text(value)
  if type(value) == 'number' then return integer(value) end
  return type(value) == 'string' and value or nil
end

-- How routers write a lock, and what follows where write_speaker has written a lease. To take these apart costs half of
-- what cjson takes, and a pause reads thousands. Whatever looks otherwise, also by an escape, is left to cjson.
local USER_PATTERN = '^{"userId":"([^"\\%c]+)"'
local LOCK_PATTERN = '^{"userId":"([^"\\%c]+)","userName":"([^"\\%c]+)","timestamp":([1-9]%d*)()'
local LEASE_PATTERN = '^,"leaseId":([1-9]%d*),"expiresAt":([1-9]%d*),"talkUntil":([1-9]%d*),"leaseMs":([1-9]%d*),'
  .. '"priority":"(%a+)","sessionId":"([^"\\%c]*)"}$'

-- The user with whom such a value begins; nil where it does not, or something is escaped.
local function first_user(raw)
  return string.match(raw, USER_PATTERN)
end

-- The same as parse_speaker, of a value in one of the two forms; nil for others.
local function match_speaker(raw)
  local user, name, timestamp, rest = string.match(raw, LOCK_PATTERN)
  if not user or user == RESERVED_HOLDER or #timestamp > 14 then return nil end
  local speaker = { userId = user, userName = name, timestamp = tonumber(timestamp), priority = 'normal' }
  if string.sub(raw, rest) == '}' then
    speaker.expiresAt, speaker.talkUntil, speaker.leaseMs = 0, 0, 0
    return speaker
  end
  local lease_id, expires_at, talk_until, lease_ms, priority, session = string.match(raw, LEASE_PATTERN, rest)
  if not lease_id or #lease_id > 14 or #expires_at > 14 or #talk_until > 14 or #lease_ms > 14 then return nil end
  if not PRIORITY_RANKS[priority] then return nil end
  speaker.leaseId, speaker.expiresAt = tonumber(lease_id), tonumber(expires_at)
  speaker.talkUntil, speaker.leaseMs = tonumber(talk_until), tonumber(lease_ms)
  speaker.priority, speaker.sessionId = priority, session
  return speaker
end

-- The speaker that a value tells of, or nil for the reserved holder. Others write these values too: one that makes no
-- sense is a lock all the same.
local function parse_speaker(raw)
  local readable, value = pcall(cjson.decode, raw)
  if not readable or type(value) ~= 'table' then value = {} end
  local user = clean_text(value.userId) or 'unknown'
  if user == RESERVED_HOLDER then return nil end
  return {
    userId = user,
    userName = clean_text(value.userName) or user,
    timestamp = clean_time(value.timestamp),
    leaseId = type(value.leaseId) == 'number' and value.leaseId or nil,
    expiresAt = clean_time(value.expiresAt),
    talkUntil = clean_time(value.talkUntil),
    leaseMs = clean_time(value.leaseMs),
    priority = PRIORITY_RANKS[value.priority] and value.priority or 'normal',
    sessionId = clean_text(value.sessionId),
    pauseId = clean_text(value.pauseId),
  }
end

-- What a speaker key holds, or nil where nobody or only the reserved holder does.
local function decode_speaker(raw, key)
  if not raw then return nil end
  local speaker = match_speaker(raw) or parse_speaker(raw)
  if speaker and speaker.expiresAt == 0 then
    local ttl = redis.call('PTTL', key)
    if ttl > 0 then speaker.expiresAt = now + ttl end
  end
  return speaker
end

-- JSON of an ActiveSpeaker.
local function speaker_json(channel, speaker)
  return '{"channelId":' .. cjson.encode(channel) .. ',"userId":' .. cjson.encode(speaker.userId)
    .. ',"userName":' .. cjson.encode(speaker.userName) .. ',"startedAtMs":' .. integer(speaker.timestamp)
    .. ',"expiresAtMs":' .. integer(speaker.expiresAt) .. ',"priority":"' .. speaker.priority .. '"}'
end

-- JSON of the speakers of many channels: the values of their speaker keys, just as they are, and if given the TTLs of the
-- keys. Those who read it make speakers of them, see speakerValue.ts. One string, since clients take a string apart ten
-- times as fast as a list of a thousand.
local function speakers_json(channels, values, ttls)
  if #channels == 0 then return '{"channelIds":[],"values":[]}' end
  return cjson.encode({ channelIds = channels, values = values, ttlsMs = ttls })
end

-- JSON of a change of who speaks on a channel, for publish_floor; nil: nobody. Where somebody waits from now on, with the
-- time at which its queue is to be looked at, ms.
local function floor_change(channel, speaker, look_at)
  if not speaker then return '{"channelId":' .. cjson.encode(channel) .. ',"hasLease":false}' end
  local has_lease = speaker.leaseId ~= nil and speaker.pauseId == nil
  return '{"channelId":' .. cjson.encode(channel) .. ',"holder":' .. speaker_json(channel, speaker)
    .. ',"hasLease":' .. tostring(has_lease) .. (look_at and ',"lookAtMs":' .. integer(look_at) or '') .. '}'
end

-- Tells replicas of changes of who speaks, in a message that is numbered without gaps; changes is JSON.
local function publish_changes(changes)
  local version = redis.call('HINCRBY', META, 'floorVersion', 1)
  redis.call('PUBLISH', context.floor, '{"epoch":"' .. epoch .. '","version":' .. integer(version)
    .. ',"timeMs":' .. integer(now) .. ',"changes":[' .. changes .. ']}')
end

-- The same for a list of changes, in as many messages as it takes.
local function publish_floor(changes)
  for first = 1, #changes, 1000 do
    publish_changes(table.concat(changes, ',', first, math.min(first + 999, #changes)))
  end
end

-- What routers are told of a speaker, after the id of the channel; nil: nobody.
local function router_state(speaker)
  if not speaker then return ',"currentSpeaker":null,"speakerName":null,"isBusy":false,"lockTimestamp":null}' end
  return ',"currentSpeaker":' .. cjson.encode(speaker.userId) .. ',"speakerName":' .. cjson.encode(speaker.userName)
    .. ',"isBusy":true,"lockTimestamp":' .. integer(speaker.timestamp) .. '}'
end

-- Tells routers who speaks on these channels now, the same on all of them; channels_json has all their ids. There may be
-- thousands: hardly ever is an id otherwise in JSON than between quotes, and to encode each takes a sixth of all this.
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

-- Tells replicas, then routers, who speaks on these channels now: { channel, speaker or nil } each. In this order, so that
-- a replica that follows both need not take the second for somebody else's doing.
local function publish_states(states)
  local changes = {}
  for index, state in ipairs(states) do changes[index] = floor_change(state[1], state[2]) end
  publish_floor(changes)
  for index, state in ipairs(states) do publish_to_routers({ state[1] }, changes[index], state[2]) end
end

local function publish_state(channel, speaker)
  publish_states({ { channel, speaker } })
end

-- The same for channels that now all have the same speaker, with no lease that ends by itself, or nobody: told in one
-- message, and computed once.
local function publish_same_state(channels, speaker)
  if #channels == 0 then return end
  local holder = speaker and ',"holder":' .. speaker_json('', speaker) or ''
  local channels_json = cjson.encode(channels)
  publish_changes('{"channelIds":' .. channels_json .. holder .. ',"hasLease":false}')
  publish_to_routers(channels, channels_json, speaker)
end

-- The next lease id of the event: greater than every earlier one.
local function next_lease_id()
  local lease_id = math.max((tonumber(redis.call('HGET', META, 'lease')) or 0) + 1, now)
  redis.call('HSET', META, 'lease', integer(lease_id))
  return lease_id
end

-- The value of a speaker key. In this order, as LEASE_PATTERN has it, and some readers look no further than the first.
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

-- Writes a lease that ends by itself, and notes it among those that run; in this order, as is_noted_lease has it.
local function write_lease(channel, key, speaker)
  write_speaker(key, speaker)
  redis.call('HSET', context.leases, channel, '{"leaseId":' .. integer(speaker.leaseId) .. ',"userId":'
    .. cjson.encode(speaker.userId) .. ',"timestamp":' .. integer(speaker.timestamp) .. ',"expiresAt":'
    .. integer(speaker.expiresAt) .. ',"talkUntil":' .. integer(speaker.talkUntil) .. '}')
end

-- True if the value of a speaker key is that of the noted lease, as far as one can see without reading either: where it
-- is not, it may be all the same.
local function is_noted_lease(raw, noted_lease)
  local lease_id = string.match(noted_lease, '^{("leaseId":%d+,)')
  return lease_id and string.find(raw, lease_id, 1, true)
end

-- Gives a floor to whoever asked for it, under a new lease that at first lasts for that long. Returns the speaker.
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

-- The lease has ended in a way that is told otherwise: given back, or taken away. No lease is no error.
local function forget_lease(channel)
  redis.call('HDEL', context.leases, channel)
end

-- Tells watchers that a user has lost the floor of a channel; `lost` has the userId, since when
-- (timestamp, ms), and the leaseId if there is one.
local function append_floor_revoked(actor, channel, lost, cause, by_user)
  append(actor, '"kind":"floorRevoked","cause":"' .. cause .. '","channelId":' .. cjson.encode(channel)
    .. ',"userId":' .. cjson.encode(lost.userId) .. ',"startedAtMs":' .. integer(lost.timestamp)
    .. ',"leaseId":' .. integer(lost.leaseId or 0) .. ',"byUserId":' .. cjson.encode(by_user))
end

-- What a standing pause wants on speaker keys: the value, if any, and the speaker that it means, if it means one.
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

-- The same for every channel of the one pause that a script deals with.
local hold = nil

-- Puts what a standing pause wants on these speaker keys: the broadcaster's lease, else the reserved holder, else (where no
-- router writes Redis directly) nothing. Returns the speaker if there is one. All at once, since a command for each key
-- takes longer.
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

local function hold_channel(key, pause)
  return hold_channels({ key }, pause)
end

-- Those values of speaker keys that have been looked at: a pause puts the same one on thousands of keys.
local held_values = {}

-- True if a speaker key's value was put there by the pause, the same one whenever a script asks.
local function is_held_by_pause(raw, pause_id)
  if not raw then return false end
  if held_values[raw] == nil then
    local readable, speaker = pcall(cjson.decode, raw)
    held_values[raw] = readable and type(speaker) == 'table' and speaker.pauseId == pause_id
  end
  return held_values[raw]
end

-- Brings one channel, whose speaker key has the value `raw`, in line with a standing pause: a free one is held, an
-- intruder is cut and told so.
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

-- Holds a channel that is new to the event back, if the event is paused.
local function hold_new_channel(channel, key)
  local pause = read_pause()
  if pause then hold_back(pause, channel, key, redis.call('GET', key)) end
end
