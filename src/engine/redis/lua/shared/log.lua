-- The log of one event. Every script that includes this takes the event's keys first, in this order, and the
-- context first among its arguments.
--
-- KEYS[1] meta      hash: epoch, revision, replid, floor (position), lease (last lease id), pause (id of the pause
--                   whose end has not been announced)
-- KEYS[2] log       stream of entries, id <revision>-0, field entry: JSON
-- KEYS[3] members   hash: user -> JSON of {c: channels, p: position, r: revision, e: epoch of r, d: disconnected at}
-- KEYS[4] pause     string with a TTL: JSON of the standing pause
-- KEYS[5] channels  set of the event's channel ids
-- ARGV[1] context   JSON of {event, newEpoch, changes: pub/sub channel, logLength, statePrefix, stateSuffix: around a
--                   channel id they name the pub/sub channel of its state, legacyRouters}
local META, LOG, MEMBERS, PAUSE, CHANNELS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
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

-- A fail-over or a restart may have dropped a tail, after which revisions would be used twice: then, and for an event
-- without a log, a new epoch begins.
local noted = redis.call('HMGET', META, 'epoch', 'revision', 'replid', 'pause')
local info = redis.call('INFO', 'replication')
local replid = string.match(info, 'master_replid:(%x+)')
local epoch, revision, unannounced_pause = noted[1], tonumber(noted[2]), noted[4]
local epoch_is_new = not epoch or noted[3] ~= replid
if epoch_is_new then
  epoch, revision = context.newEpoch, 0
  redis.call('DEL', LOG)
  redis.call('HSET', META, 'epoch', epoch, 'revision', 0, 'replid', replid)
end

-- Appends one entry and publishes it; body is the JSON of the kind and its fields, without braces.
local function append(actor, body)
  revision = revision + 1
  local entry = '{"epoch":"' .. epoch .. '","revision":' .. integer(revision) .. ',"timeMs":' .. integer(now)
    .. ',"actor":' .. cjson.encode(actor) .. ',' .. body .. '}'
  redis.call('XADD', LOG, 'MAXLEN', '~', context.logLength, integer(revision) .. '-0', 'entry', entry)
  redis.call('HSET', META, 'revision', integer(revision))
  redis.call('PUBLISH', context.changes, entry)
end

-- A pause that has run out is announced by whichever script comes first.
if unannounced_pause and redis.call('EXISTS', PAUSE) == 0 then
  append('', '"kind":"speakersResumed","expired":true,"pauseId":' .. cjson.encode(unannounced_pause))
  redis.call('HDEL', META, 'pause')
  unannounced_pause = nil
end
