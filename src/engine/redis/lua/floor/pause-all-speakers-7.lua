-- Takes every floor of an event away and latches it, as one step and one log entry. A broadcaster is given every
-- channel in the same step, so that no third can slip in between. It may take the place of a standing pause that it
-- names, or that has the same broadcaster: whatever that one has put on the channels goes with it. Nobody waits for a
-- floor any more.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] what the same request id has made, kept for an hour: the digest of its caller and content, a space, the entry
-- ARGV[2] the pause without its times: JSON of {pauseId, reason, actor, exemptUserIds, broadcaster}, without the
--         opening brace
-- ARGV[3] duration, ms; 0 cuts without a latch
-- ARGV[4] 1 if the request has an id
-- ARGV[5] how long to keep the entry for a repeat, ms
-- ARGV[6] the pause to take the place of; empty: one with the same broadcaster
-- ARGV[7] digest of the caller and the content of the request
-- ARGV[8] 1 if the caller has seen to it that the event has all of its channels
-- Returns { 'paused', number of Redis replicas, JSON of the log's entry }
--      or { 'reused' }: another caller, or a request with other content, has used the request id. Nothing is changed.
--      or { 'standing', pause JSON } or { 'banned', JSON of the broadcaster's ban }
--      or { 'behind' }: the event has not got all of its channels. Nothing is changed.
-- @include base
-- @include log
-- @include floor
-- @include bans
-- @include queue
-- @include leases

-- True if others have given channels to the event, or have taken some, and its index does not have it yet. Of all other
-- events' channels only whose they are is read: their ids would be a new string each.
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
local replicas = tonumber(string.match(info, 'connected_slaves:(%d+)')) or 0
if has_request_id then
  local answer = redis.call('GET', KEYS[7])
  local is_same = answer and string.sub(answer, 1, #ARGV[7] + 1) == ARGV[7] .. ' '
  if is_same then return { 'paused', replicas, string.sub(answer, #ARGV[7] + 2) } end
  if answer then return { 'reused' } end
end

local channels, keys = list_channels()
if ARGV[8] ~= '1' and is_behind(channels) then return { 'behind' } end

local duration = tonumber(ARGV[3])
local pause_json = '{"startedAtMs":' .. integer(now) .. ',"expiresAtMs":' .. integer(now + duration) .. ',' .. ARGV[2]
local pause = cjson.decode(pause_json)
local broadcaster = type(pause.broadcaster) == 'table' and pause.broadcaster.userId or nil
local ban = broadcaster and standing_ban(broadcaster)
if ban then return { 'banned', ban } end

local standing, standing_json = read_pause()
local replaced = nil
if standing then
  local names_it = standing.pauseId == ARGV[6]
  local has_same_broadcaster = ARGV[6] == '' and broadcaster and type(standing.broadcaster) == 'table'
    and standing.broadcaster.userId == broadcaster
  if not names_it and not has_same_broadcaster then return { 'standing', standing_json } end
  replaced = standing.pauseId
end

-- First, so that nobody who waits gets a floor that is settled below.
redis.call('UNLINK', context.queue)

-- What a pause that has run out held is free since, and nobody has said so yet.
local has_ended = redis.call('HDEL', META, 'ended') == 1

local noted_leases = {}
local flat = redis.call('HGETALL', context.leases)
for index = 1, #flat, 2 do noted_leases[flat[index]] = flat[index + 1] end

-- Those whose floors are not simply cut.
local is_special = { [RESERVED_HOLDER] = true }
for _, user in ipairs(pause.exemptUserIds) do is_special[user] = true end
if broadcaster then is_special[broadcaster] = true end

local taken, cut_channels, cut_values, released, changed = {}, {}, {}, {}, {}
for_each_value(keys, function(index, raw)
  local channel, key = channels[index], keys[index]
  local noted_lease = noted_leases[channel]
  -- Of nearly every floor there is nothing more to know than that its holder is nobody special: to take thousands of
  -- values apart would hold Redis up.
  local user = raw and first_user(raw)
  local is_held = user and not is_special[user] and (not noted_lease or is_noted_lease(raw, noted_lease))
  local is_cut = is_held
  if not is_held then
    local speaker = raw and (match_speaker(raw) or parse_speaker(raw)) or nil
    if noted_lease then settle_lease(channel, key, noted_lease, raw, speaker) end
    local is_broadcaster = speaker and speaker.userId == broadcaster
    -- What the replaced pause gave to its broadcaster is no floor that an exempt user has taken.
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
return { 'paused', replicas, entry }
