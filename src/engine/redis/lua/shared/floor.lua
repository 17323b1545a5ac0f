-- Needs base.lua, and log.lua for what cuts. The floor of a channel is its speaker key, in the form that routers have always written, with fields
-- of our own beside the old ones: leaseId, expiresAt (ms), priority, sessionId, and pauseId on what a pause has put
-- there.
local RESERVED_HOLDER = 'squelch:pause'

-- The keys from a place on to the last.
local function speaker_keys_from(first)
  local keys = {}
  for index = first, #KEYS do keys[#keys + 1] = KEYS[index] end
  return keys
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

-- What a speaker key holds, or nil where nobody or only the reserved holder does. A value that is no JSON is a lock
-- all the same.
local function decode_speaker(raw, key)
  if not raw then return nil end
  local readable, speaker = pcall(cjson.decode, raw)
  if not readable or type(speaker) ~= 'table' then speaker = { userId = 'unknown' } end
  if type(speaker.userId) == 'number' then speaker.userId = integer(speaker.userId) end
  if type(speaker.userId) ~= 'string' then speaker.userId = 'unknown' end
  if speaker.userId == RESERVED_HOLDER then return nil end
  if type(speaker.userName) ~= 'string' then speaker.userName = speaker.userId end
  speaker.timestamp = tonumber(speaker.timestamp) or 0
  speaker.priority = type(speaker.priority) == 'string' and speaker.priority or 'normal'
  if type(speaker.expiresAt) ~= 'number' then
    local ttl = redis.call('PTTL', key)
    speaker.expiresAt = ttl > 0 and now + ttl or 0
  end
  return speaker
end

local function read_speaker(key)
  return decode_speaker(redis.call('GET', key), key)
end

-- JSON of an ActiveSpeaker.
local function speaker_json(channel, speaker)
  return cjson.encode({
    channelId = channel,
    userId = speaker.userId,
    userName = speaker.userName,
    startedAtMs = speaker.timestamp,
    expiresAtMs = speaker.expiresAt,
    priority = speaker.priority,
  })
end

-- Tells routers who speaks on a channel now; nil: nobody.
local function publish_state(channel, speaker)
  redis.call('PUBLISH', context.statePrefix .. channel .. context.stateSuffix, cjson.encode({
    channelId = channel,
    currentSpeaker = speaker and speaker.userId or cjson.null,
    speakerName = speaker and speaker.userName or cjson.null,
    isBusy = speaker ~= nil,
    lockTimestamp = speaker and speaker.timestamp or cjson.null,
  }))
end

-- The next lease id of the event: greater than every earlier one.
local function next_lease_id()
  local lease_id = math.max((tonumber(redis.call('HGET', META, 'lease')) or 0) + 1, now)
  redis.call('HSET', META, 'lease', integer(lease_id))
  return lease_id
end

local function write_speaker(key, speaker)
  redis.call('SET', key, cjson.encode(speaker), 'PXAT', integer(speaker.expiresAt))
end

-- The same for every channel of the one pause that a script deals with.
local reserved_value = nil

-- Puts what a standing pause wants on a channel's speaker key: the broadcaster's lease, else the reserved holder, else
-- (where no router writes Redis directly) nothing. Returns the speaker if there is one.
local function hold_channel(key, pause)
  if type(pause.broadcaster) == 'table' then
    local speaker = {
      userId = pause.broadcaster.userId,
      userName = pause.broadcaster.userName,
      timestamp = pause.startedAtMs,
      leaseId = next_lease_id(),
      expiresAt = pause.expiresAtMs,
      priority = 'emergency',
      pauseId = pause.pauseId,
    }
    write_speaker(key, speaker)
    return speaker
  end
  if context.legacyRouters then
    reserved_value = reserved_value or cjson.encode({
      userId = RESERVED_HOLDER,
      userName = pause.reason,
      timestamp = pause.startedAtMs,
      expiresAt = pause.expiresAtMs,
      pauseId = pause.pauseId,
    })
    redis.call('SET', key, reserved_value, 'PXAT', integer(pause.expiresAtMs))
  else
    redis.call('DEL', key)
  end
  return nil
end

-- True if a speaker key's value was put there by the pause.
local function is_held_by_pause(raw, pause_id)
  if not raw then return false end
  local readable, speaker = pcall(cjson.decode, raw)
  return readable and type(speaker) == 'table' and speaker.pauseId == pause_id
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
    append(pause.actor, '"kind":"floorRevoked","cause":"preEmpted","channelId":' .. cjson.encode(channel)
      .. ',"userId":' .. cjson.encode(speaker.userId) .. ',"byUserId":' .. cjson.encode(holder and holder.userId or ''))
  end
  if speaker or holder then publish_state(channel, holder) end
end

-- Holds a channel that is new to the event back, if the event is paused.
local function hold_new_channel(channel, key)
  local pause = read_pause()
  if pause then hold_back(pause, channel, key, redis.call('GET', key)) end
end

-- True if exactly these channels are the event's: one that came or went since the caller read them is not to be missed.
local function are_all_channels(channels)
  if redis.call('SCARD', CHANNELS) ~= #channels then return false end
  local all = true
  in_chunks(channels, function(_, ...)
    for _, member in ipairs(redis.call('SMISMEMBER', CHANNELS, ...)) do
      if member == 0 then all = false end
    end
  end)
  return all
end
