-- The log of one event: its epoch, its revisions and its entries. Including it writes nothing. A script that appends calls
-- begin_epoch_if_lost() and end_expired_pause() before everything else, and returns answer(...) instead of its result.
-- @include base

-- The present epoch and the revision of the newest entry. begin_epoch_if_lost sets them.
local epoch, revision = nil, nil
-- What INFO says of replication, and the replid in it.
local replication, replid = nil, nil
-- The pause whose end is not in the log yet, or nil.
local unannounced_pause = nil
-- Why this script has begun a new epoch; nil if it has not, or if the event is new.
local new_epoch_reason = nil
-- The newest change of a membership before this script, and by this script, as META keeps it; nil if there is none.
local noted_newest, newest_change = nil, nil
-- How many members META has noted before this script; nil if it has not.
local noted_member_count = nil
-- The reasons after which MEMBERS may lack the newest change for good.
local LOSES_MEMBERS = { members_lost = true, wrong_type = true, unreadable_value = true }

-- Begins a new epoch: the log starts again at revision 0, and every watcher gets a snapshot. Memberships, leases, queues
-- and the pause stay.
local function begin_epoch(reason)
  epoch, revision, new_epoch_reason, newest_change = context.newEpoch, 0, reason, nil
  redis.call('DEL', LOG)
  if LOSES_MEMBERS[reason] then
    redis.call('HDEL', META, 'newest')
    noted_newest = nil
  end
  noted_member_count = redis.call('HLEN', MEMBERS)
  redis.call('HSET', META, 'epoch', epoch, 'revision', 0, 'replid', replid, 'members', noted_member_count)
  -- The end of a pause that META has lost would never be announced.
  local pause = not unannounced_pause and read_pause()
  if pause then
    unannounced_pause = pause.pauseId
    redis.call('HSET', META, 'pause', pause.pauseId)
    redis.call('PUBLISH', context.pauses, context.event)
  end
  -- Watchers of all events subscribe to this. Replicas also put the event into the fleet's list, which is gone where Redis
  -- was emptied.
  redis.call('PUBLISH', context.newEvents, context.event)
end

-- Returns why the event needs a new epoch, or nil. `noted` begins with these fields of META: epoch, revision, replid.
local function reason_for_new_epoch(noted)
  if noted[3] ~= replid then
    if noted[1] then return 'redis_replaced' end
    return redis.call('EXISTS', LOG, MEMBERS) > 0 and 'meta_lost' or 'new'
  end
  if not noted[1] then return 'meta_lost' end
  local is_readable = revision and revision >= 0 and revision < 2 ^ 53 and revision % 1 == 0
  if not is_readable or not string.find(noted[1], '^[%w_-]+$') then return 'meta_unreadable' end
  if redis.call('HLEN', MEMBERS) < (noted_member_count or 0) then return 'members_lost' end
  return nil
end

-- Reads the present epoch. Begins a new one for an event without a log, after a fail-over or a restart of Redis (either
-- may have lost the newest entries, so that revisions would be used twice), where META cannot be read, and where members
-- are missing. docs/consistency.md lists the reasons.
local function begin_epoch_if_lost()
  local noted = redis.call('HMGET', META, 'epoch', 'revision', 'replid', 'members', 'pause', 'newest')
  replication = redis.call('INFO', 'replication')
  replid = string.match(replication, 'master_replid:(%x+)')
  epoch, revision, unannounced_pause, noted_newest = noted[1], tonumber(noted[2]), noted[5], noted[6]
  noted_member_count = tonumber(noted[4])
  local reason = reason_for_new_epoch(noted)
  if not reason then return end
  begin_epoch(reason)
  if reason == 'new' then new_epoch_reason = nil end
end

-- Begins a new epoch if LOG has an entry above the revision of META: XADD would fail for ever. A script calls this before it
-- writes much. The others fail at XADD, and EventScripts runs mend-event and the script once more.
local function begin_epoch_if_log_is_ahead()
  if #redis.call('XRANGE', LOG, integer(revision + 1), '+', 'COUNT', 1) > 0 then begin_epoch('log_ahead') end
end

-- Begins a new epoch if MEMBERS lacks the newest change: it was replaced by an older copy. A script that changes members calls
-- this first, because it will note another newest change.
local function begin_epoch_if_members_are_old()
  if not noted_newest then return end
  local changed_at, of_epoch, user = string.match(noted_newest, '^(%d+) (%S+) (.*)$')
  local member = redis.call('HGET', MEMBERS, user or '')
  local written_at, in_epoch = string.match(member or '', '"r":(%d+),"e":"([^"]*)"')
  if in_epoch == of_epoch and tonumber(written_at) >= tonumber(changed_at) then return end
  -- A write without a change names the present epoch.
  if in_epoch == epoch and of_epoch ~= epoch then return end
  begin_epoch('members_lost')
end

-- Begins a new epoch if MEMBERS has more members than scripts have added: lost members were put back, of which watchers know
-- nothing. Only a sync calls this, because an older version of Squelch that runs beside this one adds members without noting
-- them.
local function begin_epoch_if_members_were_added()
  if noted_member_count and redis.call('HLEN', MEMBERS) > noted_member_count then begin_epoch('members_added') end
end

-- Returns the time of the entry with this revision, ms, as text; nil if the log does not have it.
local function entry_time(at)
  local id = integer(at) .. '-0'
  local found = redis.call('XRANGE', LOG, id, id)[1]
  return found and string.match(found[2][2] or '', '"timeMs":(%d+)')
end

-- Returns how many replicas of Redis are connected.
local function replica_count()
  return tonumber(string.match(replication, 'connected_slaves:(%d+)')) or 0
end

-- Returns the result of the script, and with it why the script has begun a new epoch, if it has. EventScripts in
-- eventScripts.ts takes the two apart.
local function answer(result)
  if not new_epoch_reason then return result end
  return { 'squelch:newEpoch', new_epoch_reason, result or false }
end

-- Appends one entry and returns it. Publishes nothing: the script calls `announce` afterwards. `body` is the JSON of the
-- kind and its fields, without braces. `rest` is more of it, which may be long: Lua hashes each string that it makes, so
-- that it takes longer to put a long one together in steps.
local function append_silently(actor, body, rest)
  revision = revision + 1
  local entry = '{"epoch":"' .. epoch .. '","revision":' .. integer(revision) .. ',"timeMs":' .. integer(now)
    .. ',"actor":' .. cjson.encode(actor) .. ',' .. body .. (rest or '') .. '}'
  redis.call('XADD', LOG, 'MAXLEN', '~', context.logLength, integer(revision) .. '-0', 'entry', entry)
  return entry
end

-- Notes the newest revision and publishes the newest entry, or a list of the entries that lead to it. A replica reads
-- entries before these from the log, if it lacks them.
local function announce(entries)
  if newest_change then
    redis.call('HSET', META, 'revision', integer(revision), 'newest', newest_change)
  else
    redis.call('HSET', META, 'revision', integer(revision))
  end
  redis.call('PUBLISH', context.changes, entries)
end

-- The entries that append_together will publish; nil while each entry is published at once.
local collected = nil

-- Appends one entry and publishes it; `body` and `rest` are those of append_silently. Returns the entry.
local function append(actor, body, rest)
  local entry = append_silently(actor, body, rest)
  if collected then collected[#collected + 1] = entry else announce(entry) end
  return entry
end

-- Calls fn and publishes all that it appends as one message: a message for each entry costs as much as everything else.
-- Publishes the entries also where fn fails half way, because they are in the log.
local function append_together(fn)
  collected = {}
  local is_done, problem = pcall(fn)
  local entries = collected
  collected = nil
  if #entries == 1 then announce(entries[1]) end
  if #entries > 1 then announce('[' .. table.concat(entries, ',') .. ']') end
  if not is_done then error(problem) end
end

-- Appends the end of a pause that has expired. Redis sends no notification then, so that the next script does it.
local function end_expired_pause()
  if not unannounced_pause or redis.call('EXISTS', PAUSE) == 1 then return end
  append('', '"kind":"speakersResumed","expired":true,"pauseId":' .. cjson.encode(unannounced_pause))
  redis.call('HDEL', META, 'pause')
  redis.call('HSET', META, 'ended', unannounced_pause)
  unannounced_pause = nil
end
