-- Replaces one user's channels at a ticket of its own, taken here: all that the control plane published before loses,
-- all that it publishes later wins. Nothing is written if a channel belongs to another event.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8..] speaker keys, one for each channel of the update
-- ARGV[2] update: JSON of {userId, channelIds, action, actor}
-- ARGV[3] 1: write only if the user has never had an entry
-- Returns { 'foreign', channel, its event }
--      or { 'done', outcome JSON, number of Redis replicas }.
-- @include base
-- @include log
-- @include floor
-- @include membership
local update = cjson.decode(ARGV[2])

local function outcome(status, at, added, removed)
  local replicas = tonumber(string.match(info, 'connected_slaves:(%d+)')) or 0
  return { 'done', '{"revision":' .. integer(at) .. ',"added":' .. json_list(added) .. ',"removed":'
    .. json_list(removed) .. ',"superseded":' .. tostring(status == 'stale') .. '}', replicas }
end

for _, channel in ipairs(update.channelIds) do
  local owner = redis.call('HGET', KEYS[7], channel)
  if owner and owner ~= context.event then return { 'foreign', channel, owner } end
end
if ARGV[3] == '1' then
  local member = read_member(update.userId)
  if member then return outcome('stale', member_revision(member), {}, {}) end
end

local speaker_keys = {}
for index, channel in ipairs(update.channelIds) do speaker_keys[channel] = KEYS[7 + index] end
update.isByRpc = true
local position = rpc_position({ read_member(update.userId) })
return outcome(apply_membership(update, position, KEYS[7], speaker_keys))
