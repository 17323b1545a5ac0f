-- The base of every script of one event: its keys, its context, the clock and small helpers. Including it writes nothing.
--
-- Keys. Every script of one event gets these first, in this order:
-- KEYS[1] META        hash of the fields that are listed below
-- KEYS[2] LOG         stream of entries: id <revision>-0, field entry: JSON
-- KEYS[3] MEMBERS     hash: user -> JSON of a member, see member_json in membership.lua
-- KEYS[4] PAUSE       string with a TTL: JSON of the standing pause
-- KEYS[5] CHANNELS    set of the event's channel ids
-- KEYS[6] GENERATION  string: the newest ticket
--
-- Fields of META. Absent means: not yet, or nothing to note.
--   epoch         name of the present epoch
--   revision      revision of the newest entry of the log, 0 before the first
--   replid        master_replid of the Redis that began the epoch
--   members       how many members the event has at least: when there are fewer, members were lost
--   newest        the newest change of a membership: "<revision> <epoch> <user>"
--   floor         the lowest position, see POSITION_FLOOR in membership.lua
--   lease         the last lease id
--   pause         id of the pause whose end was not appended to the log yet
--   ended         id of a pause that has expired; its channels were not freed and announced yet
--   upheld        when the channels of the paused event were last checked, ms
--   floorVersion  number of the newest message on the floor channel
--
-- Context. ARGV[1] is a JSON object. EventScripts in eventScripts.ts writes it. Its keys:
--   event               id of the event
--   newEpoch            name of the epoch that this script begins, if it has to begin one
--   newestTicket        the newest ticket that the caller has seen
--   ticket              the ticket to write at, where the caller took one elsewhere; else absent
--   leases              key of a hash: channel -> JSON of a lease whose end was not announced yet: {userId, timestamp (ms),
--                       leaseId, expiresAt (ms), talkUntil (ms)}
--   queue               key of a hash: channel -> JSON list of the requests that wait for its floor, the next one first:
--                       {queueId, userId, userName, sessionId, priority, talkTimeMs, leaseTimeMs, ignoresMembership,
--                       endsAt (ms)}
--   disconnected        key of a hash: user -> when the user was last disconnected by force, ms
--   bans                key of a hash: user -> end (ms) of each ban that the log has, without its end
--   banned              key of a sorted set, see bans.lua
--   banPrefix           prefix of the keys of bans, see bans.lua
--   banNews             pub/sub channel, see bans.lua
--   owners              key of a hash: channel -> id of the event that owns it
--   ownersApart         true where channel ownership is decided in another slot: a channel without an entry in the hash
--                       of owners must then be looked up there first
--   changes             pub/sub channel of the event's log entries
--   floor               pub/sub channel of changes of speakers
--   newEvents           pub/sub channel of new events and new epochs
--   pauses              pub/sub channel of new pauses
--   tickets             pub/sub channel of tickets; absent where no replica counts the tickets of scripts
--   statePrefix         before a channel id, with stateSuffix behind it: pub/sub channel of the channel's state
--   stateSuffix         see statePrefix
--   speakerPrefix       before a channel id, with speakerSuffix behind it: key of the channel's speaker
--   speakerSuffix       see speakerPrefix
--   legacyRouters       true if routers may write speaker keys themselves
--   maxUsersPerEvent    limit
--   maxChannelsPerUser  limit
--   logLength           about how many entries the log keeps
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

-- Returns a list as JSON. cjson itself writes an empty table as an object.
local function json_list(list)
  if #list == 0 then return '[]' end
  return cjson.encode(list)
end

-- Calls fn(first index, ...) with slices of a list that fit on Lua's stack.
local function in_chunks(list, fn)
  for first = 1, #list, 1000 do
    local last = math.min(first + 999, #list)
    fn(first, unpack(list, first, last))
  end
end

local function delete_keys(keys)
  in_chunks(keys, function(_, ...) redis.call('DEL', ...) end)
end

-- Calls fn(field, value or false) for each of the given fields of a hash.
local function for_each_field(hash, fields, fn)
  in_chunks(fields, function(first, ...)
    local values = redis.call('HMGET', hash, ...)
    for offset = 1, #values do fn(fields[first + offset - 1], values[offset]) end
  end)
end

-- Calls fn(index, value or false) for each of the given keys.
local function for_each_value(keys, fn)
  in_chunks(keys, function(first, ...)
    local values = redis.call('MGET', ...)
    for offset = 1, #values do fn(first + offset - 1, values[offset]) end
  end)
end

-- Returns the standing pause and its JSON, or nil.
local function read_pause()
  local raw = redis.call('GET', PAUSE)
  if not raw then return nil end
  return cjson.decode(raw), raw
end
