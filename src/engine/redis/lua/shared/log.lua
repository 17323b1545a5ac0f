-- The log of one event. Needs base.lua.

-- A fail-over or a restart may have dropped a tail, after which revisions would be used twice: then, and for an event
-- without a log, a new epoch begins. Memberships and their positions stay: what was really lost of them is made up for by
-- the reconcile that follows the broken subscriptions.
local noted = redis.call('HMGET', META, 'epoch', 'revision', 'replid', 'pause')
local info = redis.call('INFO', 'replication')
local replid = string.match(info, 'master_replid:(%x+)')
local epoch, revision, unannounced_pause = noted[1], tonumber(noted[2]), noted[4]
local epoch_is_new = not epoch or noted[3] ~= replid
if epoch_is_new then
  epoch, revision = context.newEpoch, 0
  redis.call('DEL', LOG)
  redis.call('HSET', META, 'epoch', epoch, 'revision', 0, 'replid', replid)
  -- Told to those who watch all events. Replicas also put it into the fleet's list, which is gone where the store was
  -- emptied.
  redis.call('PUBLISH', context.newEvents, context.event)
end

-- Appends one entry and returns it, without a word to anybody: `announce` has to follow. Body is the JSON of the kind and
-- its fields, without braces. More of it, which may be long, comes as `rest`: Lua hashes each string that it makes, byte
-- by byte, so that it takes longer to put a long one together in steps.
local function append_silently(actor, body, rest)
  revision = revision + 1
  local entry = '{"epoch":"' .. epoch .. '","revision":' .. integer(revision) .. ',"timeMs":' .. integer(now)
    .. ',"actor":' .. cjson.encode(actor) .. ',' .. body .. (rest or '') .. '}'
  redis.call('XADD', LOG, 'MAXLEN', '~', context.logLength, integer(revision) .. '-0', 'entry', entry)
  return entry
end

-- Publishes the newest entry, or a list of those that lead to it. A replica that misses some before reads them from the
-- log.
local function announce(entries)
  redis.call('HSET', META, 'revision', integer(revision))
  redis.call('PUBLISH', context.changes, entries)
end

-- The entries that wait to be published together; nil while each is published at once.
local collected = nil

-- Appends one entry and publishes it, body and rest as above. Returns the entry.
local function append(actor, body, rest)
  local entry = append_silently(actor, body, rest)
  if collected then collected[#collected + 1] = entry else announce(entry) end
  return entry
end

-- Calls fn, and publishes all that it appends as one message: a message for each costs as much as all the rest. Also
-- where fn fails half way, so that what is in the log counts.
local function append_together(fn)
  collected = {}
  local is_done, problem = pcall(fn)
  local entries = collected
  collected = nil
  if #entries == 1 then announce(entries[1]) end
  if #entries > 1 then announce('[' .. table.concat(entries, ',') .. ']') end
  if not is_done then error(problem) end
end

-- A pause that has run out is announced by whichever script comes first.
if unannounced_pause and redis.call('EXISTS', PAUSE) == 0 then
  append('', '"kind":"speakersResumed","expired":true,"pauseId":' .. cjson.encode(unannounced_pause))
  redis.call('HDEL', META, 'pause')
  redis.call('HSET', META, 'ended', 1)
  unannounced_pause = nil
end
