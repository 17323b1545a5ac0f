-- Repairs an event after a script or a reader has failed on its keys. Only Squelch writes these keys, so an unreadable value
-- came from a person or another program. Deletes keys of the wrong type and unreadable values, and begins a new epoch, so that
-- every watcher gets a snapshot of the remaining data. Checks every value, so it takes as long as loading the event.
--
-- Does not check keys that other programs also write: speakers, owners of channels, bans of the whole fleet.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- Returns a list of at most 10 texts about deleted keys and values; empty if nothing was deleted.
-- @include log
-- @include speakers
local deleted, reason = {}, nil

local function note(why, text)
  reason = reason or why
  if #deleted < 10 then deleted[#deleted + 1] = text end
end

-- Deletes a key of another type than this one. Returns true if the key exists then.
local function check_type(key, name, type_name)
  local found = redis.call('TYPE', key).ok
  if found == type_name then return true end
  if found ~= 'none' then
    redis.call('DEL', key)
    note('wrong_type', name .. ': ' .. found .. ' instead of ' .. type_name)
  end
  return false
end

-- Deletes the fields of a hash whose value is_valid(value, field) rejects.
local function check_hash(key, name, is_valid)
  if not check_type(key, name, 'hash') then return end
  local flat = redis.call('HGETALL', key)
  for index = 1, #flat, 2 do
    if not is_valid(flat[index + 1], flat[index]) then
      redis.call('HDEL', key, flat[index])
      note('unreadable_value', name .. ': ' .. flat[index])
    end
  end
end

local function decode(raw)
  local is_readable, value = pcall(cjson.decode, raw)
  return is_readable and type(value) == 'table' and value or nil
end

-- Returns true if the named fields of a table have this type.
local function has_fields(value, type_name, ...)
  for _, field in ipairs({ ... }) do
    if type(value[field]) ~= type_name then return false end
  end
  return true
end

local function has_strings_only(list)
  for _, item in pairs(list) do
    if type(item) ~= 'string' then return false end
  end
  return true
end

local function is_whole_number(raw)
  return #raw <= 16 and string.find(raw, '^%d+$') ~= nil
end

local function is_position(raw)
  return string.find(raw, '^%d+%-%d+$') ~= nil
end

local META_CHECKS = { floor = is_position, lease = is_whole_number, floorVersion = is_whole_number }

local function is_member(raw)
  local value = decode(raw)
  return value and has_fields(value, 'table', 'c') and has_strings_only(value.c) and has_fields(value, 'string', 'p', 'e')
    and is_position(value.p) and has_fields(value, 'number', 'r')
end

local function is_lease(raw)
  local value = decode(raw)
  return value and has_fields(value, 'string', 'userId')
    and has_fields(value, 'number', 'leaseId', 'timestamp', 'expiresAt', 'talkUntil')
end

local function is_queue(raw)
  local list = decode(raw)
  if not list then return false end
  for _, request in pairs(list) do
    local is_request = type(request) == 'table' and has_fields(request, 'string', 'userId', 'userName', 'sessionId')
      and has_fields(request, 'number', 'queueId', 'talkTimeMs', 'leaseTimeMs', 'endsAt')
      and PRIORITY_RANKS[request.priority]
    if not is_request then return false end
  end
  return true
end

local function is_pause(raw)
  local value = decode(raw)
  if not value then return false end
  local broadcaster = value.broadcaster
  return has_fields(value, 'string', 'pauseId', 'reason', 'actor') and has_fields(value, 'number', 'startedAtMs', 'expiresAtMs')
    and has_fields(value, 'table', 'exemptUserIds') and has_strings_only(value.exemptUserIds)
    and (type(broadcaster) ~= 'table' or has_fields(broadcaster, 'string', 'userId', 'userName'))
end

check_hash(META, 'meta', function(value, field)
  local is_valid = META_CHECKS[field]
  return not is_valid or is_valid(value)
end)
check_type(LOG, 'log', 'stream')
check_hash(MEMBERS, 'members', is_member)
check_type(CHANNELS, 'channels', 'set')
check_type(GENERATION, 'generation', 'string')
check_hash(context.leases, 'leases', is_lease)
check_hash(context.queue, 'queue', is_queue)
check_hash(context.disconnected, 'disconnected', is_whole_number)
check_hash(context.bans, 'bans', is_whole_number)
if check_type(PAUSE, 'pause', 'string') and not is_pause(redis.call('GET', PAUSE)) then
  redis.call('DEL', PAUSE)
  note('unreadable_value', 'pause')
end

begin_epoch_if_lost()
begin_epoch_if_log_is_ahead()
begin_epoch_if_members_are_old()
if reason and not new_epoch_reason then begin_epoch(reason) end
new_epoch_reason = reason or new_epoch_reason
end_expired_pause()
return answer(deleted)
