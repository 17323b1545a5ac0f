-- Replaces one user's channels at a ticket of its own, taken here: all that the control plane published before loses,
-- all that it publishes later wins. Nothing is written if a channel belongs to another event.
--
-- KEYS[1..5], ARGV[1]: see shared/log.lua
-- KEYS[6] hash: channel -> event
-- KEYS[7] generation of the ingest
-- KEYS[8..] speaker keys, one for each channel of the update
-- ARGV[2] update: JSON of {userId, channelIds, action, actor}
-- ARGV[3] pub/sub channel of the tickets
-- ARGV[4] 1: write only if the user has never had an entry
-- Returns { 1 if the epoch is new, 'foreign', channel, its event }
--      or { 1 if the epoch is new, 'done', outcome JSON, number of Redis replicas }.
-- @include log
-- @include floor
-- @include membership
local update = cjson.decode(ARGV[2])
local created = epoch_is_new and 1 or 0

local function outcome(status, at, added, removed)
  local replicas = tonumber(string.match(info, 'connected_slaves:(%d+)')) or 0
  return { created, 'done', '{"revision":' .. integer(at) .. ',"added":' .. json_list(added) .. ',"removed":'
    .. json_list(removed) .. ',"superseded":' .. tostring(status == 'stale') .. '}', replicas }
end

for _, channel in ipairs(update.channelIds) do
  local owner = redis.call('HGET', KEYS[6], channel)
  if owner and owner ~= context.event then return { created, 'foreign', channel, owner } end
end
if ARGV[4] == '1' then
  local member = read_member(update.userId)
  if member then return outcome('stale', member_revision(member), {}, {}) end
end

local speaker_keys = {}
for index, channel in ipairs(update.channelIds) do speaker_keys[channel] = KEYS[7 + index] end
local generation = integer(math.max((tonumber(redis.call('GET', KEYS[7])) or 0) + 1, now))
redis.call('SET', KEYS[7], generation)
redis.call('PUBLISH', ARGV[3], generation)
return outcome(apply_membership(update, generation .. '-0', KEYS[6], speaker_keys))
