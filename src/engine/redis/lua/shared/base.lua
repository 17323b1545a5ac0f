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
--   members       how many members scripts have added, or found when they began the epoch: fewer means that some were lost
--   newest        the newest change of a membership: "<revision> <epoch> <user>"
--   floor         the lowest position, see POSITION_FLOOR in membership.lua
--   lease         the last lease id
--   pause         id of the pause whose end was not appended to the log yet
--   ended         id of a pause that has expired; its channels were not freed and announced yet
--   upheld        when the channels of the paused event were last checked, ms
--   floorVersion  number of the newest message on the floor channel
--
-- Arguments. ARGV[1] is the name of the epoch that the script begins, if it has to begin one. The script's own arguments are
-- ARGV[2] to ARGV[last_argument]. The context follows: it is cheaper to read than JSON.
local META, LOG, MEMBERS, PAUSE, CHANNELS, GENERATION = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local last_argument = #ARGV - 25
-- EventScripts in eventScripts.ts writes these in this order.
local context = {
  event = ARGV[last_argument + 1], -- id of the event
  leases = ARGV[last_argument + 2], -- key of a hash: channel -> JSON of a lease whose end was not announced yet, see write_lease
  queue = ARGV[last_argument + 3], -- key of a hash: channel -> JSON list of the requests that wait for it, see enter_queue
  disconnected = ARGV[last_argument + 4], -- key of a hash: user -> when the user was last disconnected by force, ms
  bans = ARGV[last_argument + 5], -- key of a hash: user -> end (ms) of each ban that is in the log without its end
  owners = ARGV[last_argument + 6], -- key of a hash: channel -> id of the event that owns it
  changes = ARGV[last_argument + 7], -- pub/sub channel of the event's log entries
  floor = ARGV[last_argument + 8], -- pub/sub channel of changes of speakers
  newEvents = ARGV[last_argument + 9], -- pub/sub channel of new events and new epochs
  pauses = ARGV[last_argument + 10], -- pub/sub channel of new pauses
  tickets = ARGV[last_argument + 11], -- pub/sub channel of tickets; empty: no replica counts the tickets of scripts
  maxUsersPerEvent = tonumber(ARGV[last_argument + 12]), -- limit
  maxChannelsPerUser = tonumber(ARGV[last_argument + 13]), -- limit
  logLength = ARGV[last_argument + 14], -- about how many entries the log keeps
  legacyRouters = ARGV[last_argument + 15] == '1', -- true: routers may write speaker keys themselves
  ownersApart = ARGV[last_argument + 16] == '1', -- true: another slot decides who owns a channel without an entry in owners
  statePrefix = ARGV[last_argument + 17], -- before a channel id: pub/sub channel of the channel's state, with stateSuffix
  stateSuffix = ARGV[last_argument + 18], -- behind the channel id, see statePrefix
  speakerPrefix = ARGV[last_argument + 19], -- before a channel id: key of the channel's speaker, with speakerSuffix
  speakerSuffix = ARGV[last_argument + 20], -- behind the channel id, see speakerPrefix
  banned = ARGV[last_argument + 21], -- key of a sorted set, see bans.lua
  banPrefix = ARGV[last_argument + 22], -- prefix of the keys of bans, see bans.lua
  banNews = ARGV[last_argument + 23], -- pub/sub channel, see bans.lua
  newEpoch = ARGV[1], -- name of the epoch that this script begins, if it has to begin one
  newestTicket = tonumber(ARGV[last_argument + 24]), -- the newest ticket that the caller has seen
  ticket = tonumber(ARGV[last_argument + 25]), -- the ticket to write at, if the caller took one elsewhere; else nil
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
