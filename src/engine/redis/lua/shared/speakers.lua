-- Reads the floors of an event. Including it writes nothing. The floor of a channel is the value of its speaker key, in the
-- form that routers have always written. Squelch adds fields of its own: leaseId, expiresAt (ms), talkUntil (ms), leaseMs
-- (what a renewal adds, ms), priority, sessionId, and pauseId on a value that a pause has put there.
-- @include base

-- The user on a speaker key that a pause holds without a broadcaster.
local RESERVED_HOLDER = 'squelch:pause'

local function speaker_key(channel)
  return context.speakerPrefix .. channel .. context.speakerSuffix
end

-- Returns the channels of the event and the keys of their speakers. The order is undefined, because sorting thousands of channels
-- would hold Redis up. The script builds the keys itself, because the caller may not know the newest channels.
local function list_channels()
  local channels, keys = redis.call('SMEMBERS', CHANNELS), {}
  local prefix, suffix = context.speakerPrefix, context.speakerSuffix
  for index = 1, #channels do keys[index] = prefix .. channels[index] .. suffix end
  return channels, keys
end

-- Calls fn(channel, key, value of the speaker key or false) for every channel of the event.
local function for_each_speaker(fn)
  local channels, keys = list_channels()
  for_each_value(keys, function(index, raw) fn(channels[index], keys[index], raw) end)
end

-- Returns true if the user may speak during the pause: the user is exempt or the broadcaster.
local function is_exempt(pause, user)
  if type(pause.broadcaster) == 'table' and pause.broadcaster.userId == user then return true end
  for _, exempt in ipairs(pause.exemptUserIds) do
    if exempt == user then return true end
  end
  return false
end

-- Returns true if the channel is among the channels of the requesting user, or if the request needs no membership.
local function is_admitted(request, channel)
  if request.ignoresMembership then return true end
  if request.admitsAllWithoutMembers and redis.call('EXISTS', MEMBERS) == 0 then return true end
  local raw = redis.call('HGET', MEMBERS, request.userId)
  if not raw then return false end
  for _, own in ipairs(cjson.decode(raw).c) do
    if own == channel then return true end
  end
  return false
end

-- A higher rank is served first.
local PRIORITY_RANKS = { normal = 1, dispatch = 2, imminentPeril = 3, emergency = 4 }

-- Returns true if a request of priority a takes the floor from a holder of priority b.
local function outranks(a, b)
  return PRIORITY_RANKS[a] > PRIORITY_RANKS[b]
end

-- Returns a time that another program wrote as whole ms; 0 if it is not a valid time.
local function clean_time(value)
  local time = tonumber(value)
  if not time or time ~= time or time <= 0 or time >= 1e15 then return 0 end
  return math.floor(time)
end

-- Returns a text or a number that another program wrote as text; nil for anything else.
local function clean_text(value)
  if type(value) == 'number' then return integer(value) end
  return type(value) == 'string' and value or nil
end

-- LOCK_PATTERN is the form in which routers write a lock. LEASE_PATTERN is the rest of a value that write_speaker wrote. Matching
-- takes half the time of cjson, and a pause reads thousands of values. cjson parses the values that do not match, for example
-- those with an escape.
local USER_PATTERN = '^{"userId":"([^"\\%c]+)"'
local LOCK_PATTERN = '^{"userId":"([^"\\%c]+)","userName":"([^"\\%c]+)","timestamp":([1-9]%d*)()'
local LEASE_PATTERN = '^,"leaseId":([1-9]%d*),"expiresAt":([1-9]%d*),"talkUntil":([1-9]%d*),"leaseMs":([1-9]%d*),'
  .. '"priority":"(%a+)","sessionId":"([^"\\%c]*)"}$'

-- Returns the user at the beginning of a speaker's value; nil if the value has another form or the user contains an escape.
local function first_user(raw)
  return string.match(raw, USER_PATTERN)
end

-- Returns the speaker of a value that has the form of a lock or of a lease; nil for any other value.
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

-- Returns the speaker of any value; nil for the reserved holder. Other programs also write these values, so an unreadable value
-- still locks the channel.
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

-- Returns the speaker in the value of a speaker key; nil if the channel is free or the reserved holder has it.
local function decode_speaker(raw, key)
  if not raw then return nil end
  local speaker = match_speaker(raw) or parse_speaker(raw)
  if speaker and speaker.expiresAt == 0 then
    local ttl = redis.call('PTTL', key)
    if ttl > 0 then speaker.expiresAt = now + ttl end
  end
  return speaker
end

-- Returns the JSON of an ActiveSpeaker.
local function speaker_json(channel, speaker)
  return '{"channelId":' .. cjson.encode(channel) .. ',"userId":' .. cjson.encode(speaker.userId)
    .. ',"userName":' .. cjson.encode(speaker.userName) .. ',"startedAtMs":' .. integer(speaker.timestamp)
    .. ',"expiresAtMs":' .. integer(speaker.expiresAt) .. ',"priority":"' .. speaker.priority .. '"}'
end

-- Returns the JSON of the speakers of many channels: the unchanged values of their speaker keys and, if given, the TTLs of
-- the keys, ms. speakerValue.ts parses them. The result is one string, because clients read one string ten times as fast as a
-- list of a thousand.
local function speakers_json(channels, values, ttls)
  if #channels == 0 then return '{"channelIds":[],"values":[]}' end
  return cjson.encode({ channelIds = channels, values = values, ttlsMs = ttls })
end
