-- The base of every script of one event: keys, context, clock and small helpers. Including it writes nothing.
--
-- Keys. The first keys of every script of one event are these, in this order:
-- KEYS[1] META        hash of the fields that are listed below
-- KEYS[2] LOG         stream of entries: id <revision>-0, field entry: JSON
-- KEYS[3] MEMBERS     hash: user -> JSON of a member, see member_json in membership.lua
-- KEYS[4] PAUSE       string with a TTL: JSON of the standing pause
-- KEYS[5] CHANNELS    set of the event's channel ids
-- KEYS[6] GENERATION  string: the newest ticket
--
-- Fields of META. A missing field means that there is no value yet.
--   epoch         name of the present epoch
--   revision      revision of the newest entry of the log, 0 before the first
--   replid        master_replid of the Redis that began the epoch
--   members       number of members that scripts have added, or found when they began the epoch. If MEMBERS has fewer, some
--                 were lost
--   newest        the newest change of a membership: "<revision> <epoch> <user>"
--   floor         the lowest position, see POSITION_FLOOR in membership.lua
--   lease         the last lease id
--   pause         id of the pause that has no end in the log yet
--   ended         id of an expired pause. Its channels must still be freed and announced as free
--   upheld        time of the last check of the paused event's channels, ms
--   floorVersion  number of the newest message on the floor channel
--
-- Arguments. ARGV[1] is a name for a new epoch, in case the script has to begin one. The script's own arguments are ARGV[2]
-- to ARGV[last_argument]. The context follows. Separate arguments are cheaper to read than JSON.
local META, LOG, MEMBERS, PAUSE, CHANNELS, GENERATION = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local last_argument = #ARGV - 25
-- EventScripts in eventScripts.ts writes these in this order.
local context = {
  event = ARGV[last_argument + 1], -- id of the event
  leases = ARGV[last_argument + 2], -- key of a hash: channel -> JSON of a lease without an announced end, see write_lease
  queue = ARGV[last_argument + 3], -- key of a hash: channel -> JSON list of its waiting requests, see enter_queue
  disconnected = ARGV[last_argument + 4], -- key of a hash: user -> time of the last forced disconnection, ms
  bans = ARGV[last_argument + 5], -- key of a hash: user -> end (ms) of a ban that the log has without its end
  owners = ARGV[last_argument + 6], -- key of a hash: channel -> id of the event that owns it
  changes = ARGV[last_argument + 7], -- pub/sub channel of the event's log entries
  floor = ARGV[last_argument + 8], -- pub/sub channel of changes of speakers
  newEvents = ARGV[last_argument + 9], -- pub/sub channel of new events and new epochs
  pauses = ARGV[last_argument + 10], -- pub/sub channel of new pauses
  tickets = ARGV[last_argument + 11], -- pub/sub channel of tickets; empty: no replica counts the tickets of scripts
  maxUsersPerEvent = tonumber(ARGV[last_argument + 12]), -- limit
  maxChannelsPerUser = tonumber(ARGV[last_argument + 13]), -- limit
  logLength = ARGV[last_argument + 14], -- approximate number of entries that the log keeps
  legacyRouters = ARGV[last_argument + 15] == '1', -- true: routers may write speaker keys themselves
  ownersApart = ARGV[last_argument + 16] == '1', -- true: another slot decides who owns a channel without an entry in owners
  statePrefix = ARGV[last_argument + 17], -- the pub/sub channel of a channel's state is this prefix, the channel id and stateSuffix
  stateSuffix = ARGV[last_argument + 18], -- see statePrefix
  speakerPrefix = ARGV[last_argument + 19], -- the key of a channel's speaker is this prefix, the channel id and speakerSuffix
  speakerSuffix = ARGV[last_argument + 20], -- see speakerPrefix
  banned = ARGV[last_argument + 21], -- key of a sorted set, see bans.lua
  banPrefix = ARGV[last_argument + 22], -- prefix of the keys of bans, see bans.lua
  banNews = ARGV[last_argument + 23], -- pub/sub channel, see bans.lua
  newEpoch = ARGV[1], -- name for a new epoch, see ARGV[1] above
  newestTicket = tonumber(ARGV[last_argument + 24]), -- the newest ticket that the caller has seen
  ticket = tonumber(ARGV[last_argument + 25]), -- the ticket of this write, if the caller has already taken one; else nil
}

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
