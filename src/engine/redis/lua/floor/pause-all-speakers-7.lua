-- Takes every floor of an event away and latches the event, as one step and one log entry. Gives every channel to the
-- broadcaster in the same step, so that no other user can take one in between. Replaces a standing pause if the request
-- names it, or if it has the same broadcaster: then everything that pause has put on the channels is removed. Ends all
-- requests that wait.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] string: the digest of an earlier run with the same request id, a space, and the log entry of that run
-- ARGV[2] the pause without its times: JSON of {pauseId, reason, actor, exemptUserIds, broadcaster}, without the
--         opening brace
-- ARGV[3] duration, ms; 0 cuts without a latch
-- ARGV[4] 1 if the request has an id
-- ARGV[5] how long to keep the entry in KEYS[7], ms
-- ARGV[6] id of the pause to replace; empty: a pause with the same broadcaster
-- ARGV[7] digest of the caller and the content of the request
-- ARGV[8] 1 if the caller has already added all channels of the event to its index
-- Returns { 'paused', number of Redis replicas, JSON of the log's entry }
--      or { 'reused' }: another caller, or a request with other content, has used the request id. Nothing is changed.
--      or { 'standing', pause JSON } or { 'banned', JSON of the broadcaster's ban }
--      or { 'behind' }: nothing was written. The index of the event lacks channels, or has channels of other events.
-- @include leases
begin_epoch_if_lost()
begin_epoch_if_log_is_ahead()
end_expired_pause()

-- Returns true if other programs have given channels to the event or taken some away, and the index of the event does not
-- have that yet. Reads only the owners of all channels: their ids would be one new string each.
local function is_behind(channels)
  local event, owned = context.event, 0
  local owners = redis.call('HVALS', context.owners)
  for index = 1, #owners do
    if owners[index] == event then owned = owned + 1 end
  end
  if owned ~= #channels then return true end
  local is_owned = true
  for_each_field(context.owners, channels, function(_, owner) is_owned = is_owned and owner == event end)
  return not is_owned
end

local has_request_id = ARGV[4] == '1'
if has_request_id then
  local known = redis.call('GET', KEYS[7])
  local is_same = known and string.sub(known, 1, #ARGV[7] + 1) == ARGV[7] .. ' '
  if is_same then return answer({ 'paused', replica_count(), string.sub(known, #ARGV[7] + 2) }) end
  if known then return answer({ 'reused' }) end
end

local channels, keys = list_channels()
if ARGV[8] ~= '1' and is_behind(channels) then return answer({ 'behind' }) end

local duration = tonumber(ARGV[3])
local pause_json = '{"startedAtMs":' .. integer(now) .. ',"expiresAtMs":' .. integer(now + duration) .. ',' .. ARGV[2]
local pause = cjson.decode(pause_json)
local broadcaster = type(pause.broadcaster) == 'table' and pause.broadcaster.userId or nil
local ban = broadcaster and standing_ban(broadcaster)
if ban then return answer({ 'banned', ban }) end

local standing, standing_json = read_pause()
local replaced = nil
if standing then
  local names_it = standing.pauseId == ARGV[6]
  local has_same_broadcaster = ARGV[6] == '' and broadcaster and type(standing.broadcaster) == 'table'
    and standing.broadcaster.userId == broadcaster
  if not names_it and not has_same_broadcaster then return answer({ 'standing', standing_json }) end
  replaced = standing.pauseId
end

-- This comes first, so that no request that waits gets a floor that is settled below.
redis.call('UNLINK', context.queue)

-- True if a pause has expired and its channels were not announced as free yet.
local has_ended = redis.call('HDEL', META, 'ended') == 1

local noted_leases = {}
local flat = redis.call('HGETALL', context.leases)
for index = 1, #flat, 2 do noted_leases[flat[index]] = flat[index + 1] end

-- The users whose floors are not simply cut.
local is_special = { [RESERVED_HOLDER] = true }
for _, user in ipairs(pause.exemptUserIds) do is_special[user] = true end
if broadcaster then is_special[broadcaster] = true end

local taken, cut_channels, cut_values, released, changed = {}, {}, {}, {}, {}
for_each_value(keys, function(index, raw)
  local channel, key = channels[index], keys[index]
  local noted_lease = noted_leases[channel]
  -- For nearly every floor it is enough to know that its holder is not special: parsing thousands of values would hold Redis
  -- up.
  local user = raw and first_user(raw)
  local is_held = user and not is_special[user] and (not noted_lease or is_noted_lease(raw, noted_lease))
  local is_cut = is_held
  if not is_held then
    local speaker = raw and (match_speaker(raw) or parse_speaker(raw)) or nil
    if noted_lease then settle_lease(channel, key, noted_lease, raw, speaker) end
    local is_broadcaster = speaker and speaker.userId == broadcaster
    -- A floor that the replaced pause gave to its broadcaster was not taken by an exempt user.
    local is_of_replaced = speaker and replaced and speaker.pauseId == replaced
    if speaker and not is_broadcaster and not is_of_replaced and is_exempt(pause, speaker.userId) then return end
    is_held, is_cut = speaker ~= nil, speaker and not is_broadcaster
  end
  if duration > 0 or raw then taken[#taken + 1] = key end
  if is_held and noted_lease then released[#released + 1] = channel end
  if is_cut then
    cut_channels[#cut_channels + 1] = channel
    cut_values[#cut_values + 1] = raw
  end
  if is_held or broadcaster and duration > 0 or has_ended then changed[#changed + 1] = channel end
end)
local holder = nil
if duration > 0 then holder = hold_channels(taken, pause) else delete_keys(taken) end
in_chunks(released, function(_, ...) redis.call('HDEL', context.leases, ...) end)

if duration > 0 then
  redis.call('SET', PAUSE, pause_json, 'PXAT', integer(pause.expiresAtMs))
  redis.call('HSET', META, 'pause', pause.pauseId)
  redis.call('PUBLISH', context.pauses, context.event)
end
local body = '"kind":"speakersPaused","pause":' .. pause_json
if replaced then body = body .. ',"replacedPauseId":' .. cjson.encode(replaced) end
local entry = append(pause.actor, body .. ',"cut":', speakers_json(cut_channels, cut_values))
publish_same_state(changed, holder)
if has_request_id then redis.call('SET', KEYS[7], ARGV[7] .. ' ' .. entry, 'PX', ARGV[5]) end
return answer({ 'paused', replica_count(), entry })
