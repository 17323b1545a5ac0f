-- The log of one event: its epoch, its revisions and its entries. Including it writes nothing. A script that appends calls
-- begin_epoch_if_lost() and end_expired_pause() before everything else, and returns answer(...) instead of its result.
-- @include base

-- The present epoch and the revision of the newest entry. begin_epoch_if_lost sets them.
local epoch, revision = nil, nil
-- The replication section of INFO, and the replid in it.
local replication, replid = nil, nil
-- The id of the pause that has no end in the log yet, or nil.
local unannounced_pause = nil
-- The reason of a new epoch that this script has begun; nil if it has begun none, or if the event is new.
local new_epoch_reason = nil
-- The newest change of a membership, in the form of META: before this script, and by this script. nil if there is none.
local noted_newest, newest_change = nil, nil
-- The number of members in META before this script; nil if META has none.
local noted_member_count = nil
-- The reasons of a new epoch after which the newest change may be missing from MEMBERS for ever.
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
  -- If META has lost the id of the standing pause, the end of that pause would never be announced.
  local pause = not unannounced_pause and read_pause()
  if pause then
    unannounced_pause = pause.pauseId
    redis.call('HSET', META, 'pause', pause.pauseId)
    redis.call('PUBLISH', context.pauses, context.event)
  end
  -- Replicas with watchers of all events load the event after this message. Every replica also adds the event to the fleet's
  -- list, which is lost if Redis was emptied.
  redis.call('PUBLISH', context.newEvents, context.event)
end

-- Returns the reason why the event needs a new epoch, or nil. `noted` begins with these fields of META: epoch, revision, replid.
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

-- Reads the present epoch. Begins a new one if the event has no log, if META cannot be read, if members are missing, and after a
-- fail-over or a restart of Redis, which may have lost the newest entries, so that revisions would be used twice.
-- docs/consistency.md lists the reasons.
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

-- Begins a new epoch if LOG has an entry above the revision of META, because XADD would then always fail. Scripts that write much
-- call this first. Other scripts fail at XADD; EventScripts then runs mend-event, and the script once more.
local function begin_epoch_if_log_is_ahead()
  if #redis.call('XRANGE', LOG, integer(revision + 1), '+', 'COUNT', 1) > 0 then begin_epoch('log_ahead') end
end

-- Begins a new epoch if the newest change is missing from MEMBERS, because MEMBERS was replaced by an older copy. A script that
-- changes members calls this first, because it then stores another newest change.
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

-- Begins a new epoch if MEMBERS has more members than scripts have added. Then lost members were restored, and watchers do
-- not have them. Only a sync calls this, because an older version of Squelch beside this one adds members without counting
-- them in META.
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

-- Returns the result of the script. If the script has begun a new epoch, adds the reason. EventScripts in eventScripts.ts
-- separates the two.
local function answer(result)
  if not new_epoch_reason then return result end
  return { 'squelch:newEpoch', new_epoch_reason, result or false }
end

-- Appends one entry and returns it. Publishes nothing: the script calls `announce` afterwards. `body` is the JSON of the
-- kind and its fields, without braces. `rest` is a further part of it and may be long. It is separate because Lua hashes each
-- string that it makes, so building a long string in several steps is slow.
local function append_silently(actor, body, rest)
  revision = revision + 1
  local entry = '{"epoch":"' .. epoch .. '","revision":' .. integer(revision) .. ',"timeMs":' .. integer(now)
    .. ',"actor":' .. cjson.encode(actor) .. ',' .. body .. (rest or '') .. '}'
  redis.call('XADD', LOG, 'MAXLEN', '~', context.logLength, integer(revision) .. '-0', 'entry', entry)
  return entry
end

-- Stores the newest revision and publishes the newest entry, or a list of the newest entries. A replica that lacks earlier
-- entries reads them from the log.
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

-- Calls fn and publishes all entries that it appends as one message. One message for each entry would double the cost of a
-- script. If fn fails half way, this still publishes the entries, because they are in the log.
local function append_together(fn)
  collected = {}
  local is_done, problem = pcall(fn)
  local entries = collected
  collected = nil
  if #entries == 1 then announce(entries[1]) end
  if #entries > 1 then announce('[' .. table.concat(entries, ',') .. ']') end
  if not is_done then error(problem) end
end

-- Appends the end of an expired pause. Redis sends no notification when a pause expires, so the next script of the event does
-- this.
local function end_expired_pause()
  if not unannounced_pause or redis.call('EXISTS', PAUSE) == 1 then return end
  append('', '"kind":"speakersResumed","expired":true,"pauseId":' .. cjson.encode(unannounced_pause))
  redis.call('HDEL', META, 'pause')
  redis.call('HSET', META, 'ended', unannounced_pause)
  unannounced_pause = nil
end
