-- What every script of one event starts with: its keys come first, in this order, and the context first among its
-- arguments.
--
-- KEYS[1] meta      hash: epoch, revision, replid, floor (position of the newest sync: nothing at or below it applies),
--                   lease (last lease id), pause (id of the pause whose end has not been announced), ended (1: a pause
--                   has run out since pauses were last upheld), upheld (when the channels of a paused event were last
--                   looked at, ms), floorVersion (number of the newest message on the floor channel)
-- KEYS[2] log       stream of entries, id <revision>-0, field entry: JSON
-- KEYS[3] members   hash: user -> JSON of {c: channels, p: position, r: revision, e: epoch of r,
--                   o: 1 if last written over RPC by name (a sync speaks by the floor), k: 1 if a reconcile found the
--                   control plane's key of the user}
-- KEYS[4] pause     string with a TTL: JSON of the standing pause
-- KEYS[5] channels  set of the event's channel ids
-- KEYS[6] generation  the newest ticket
-- ARGV[1] context   JSON of {event, newEpoch, leases: key of the hash channel -> JSON of {userId, timestamp, leaseId,
--                   expiresAt (ms), talkUntil (ms)} of each lease whose end has not been announced, queue: key of the hash
--                   channel -> JSON list of those who wait for its floor, next first: {queueId, userId, userName,
--                   sessionId, priority, talkTimeMs, leaseTimeMs, endsAt (ms)}, disconnected: key of the hash user -> when
--                   last disconnected by force (ms), bans: key of the hash user -> end (ms) of each ban of which the log
--                   has told, and whose end it has not, banned, banPrefix, banNews: see shared/bans.lua, owners: key of
--                   the hash channel -> event, changes, floor, newEvents, pauses: pub/sub channels, maxUsersPerEvent,
--                   maxChannelsPerUser, logLength, statePrefix, stateSuffix, speakerPrefix,
--                   speakerSuffix: around a channel id they name the pub/sub channel of its state and the key of its
--                   speaker, legacyRouters, tickets: the pub/sub channel of the tickets, absent if nobody counts them,
--                   newestTicket: that the
--                   caller has seen, ticket: the one to write at, where it was taken elsewhere, ownersApart: true if whose
--                   a channel is has to be asked elsewhere, and noted, before a script can know}
local META, LOG, MEMBERS, PAUSE, CHANNELS, GENERATION = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local context = cjson.decode(ARGV[1])

local function redis_now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local now = redis_now_ms()

local function integer(number)
  return string.format('%.0f', number)
end

-- cjson writes an empty table as an object.
local function json_list(list)
  if #list == 0 then return '[]' end
  return cjson.encode(list)
end

-- Calls fn with slices of a list that Lua's stack can hold.
local function in_chunks(list, fn)
  for first = 1, #list, 1000 do
    local last = math.min(first + 999, #list)
    fn(first, unpack(list, first, last))
  end
end

local function delete_keys(keys)
  in_chunks(keys, function(_, ...) redis.call('DEL', ...) end)
end

-- Calls fn(field, value or false) for each of these fields of a hash.
local function for_each_field(hash, fields, fn)
  in_chunks(fields, function(first, ...)
    local values = redis.call('HMGET', hash, ...)
    for offset = 1, #values do fn(fields[first + offset - 1], values[offset]) end
  end)
end

-- Calls fn(index, value or false) for each of these keys.
local function for_each_value(keys, fn)
  in_chunks(keys, function(first, ...)
    local values = redis.call('MGET', ...)
    for offset = 1, #values do fn(first + offset - 1, values[offset]) end
  end)
end
