-- Replaces one user's channels at a ticket of its own, taken here or by the caller: all that the control plane published
-- before loses, all that it publishes later wins. Nothing is written if a channel belongs to another event or a limit
-- keeps something out.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8..] speaker keys, one for each channel of the update
-- ARGV[2] update: JSON of {userId, channelIds, action, actor}
-- ARGV[3] 1: write only where nobody has ever written the user, nor a sync everybody, and before every other position, so
--         that what was published earlier and is applied later wins
-- ARGV[4] write only if the user's newest change has this revision; empty: whatever it has
-- Returns { 'foreign', channel, its event }
--      or { 'changed', revision of the user's newest change }
--      or { 'limit', the one that keeps something out }
--      or { 'unknown', channel, channel, ... }: whose these are is to be noted first, nothing was written
--      or { 'behind', the least ticket that will do }: the caller's is not above what it overwrites, nothing was written
--      or { 'done', outcome JSON, number of Redis replicas }.
-- @include base
-- @include log
-- @include floor
-- @include membership
local update = cjson.decode(ARGV[2])

for _, channel in ipairs(update.channelIds) do
  local owner = redis.call('HGET', KEYS[7], channel)
  if owner and owner ~= context.event then return { 'foreign', channel, owner } end
end

local position, at_least = '0-0', nil
local is_seed = ARGV[3] == '1'
local member = read_member(update.userId)
if ARGV[4] ~= '' and tonumber(ARGV[4]) ~= member_revision(member) then
  return { 'changed', member_revision(member) }
end
local unknown = { 'unknown' }
if not (is_seed and is_stale(position, member, read_floor())) then
  local allowed, limit = within_limits(update.channelIds, member)
  if limit then return { 'limit', limit } end
  find_unknown(KEYS[7], allowed, unknown)
end
if #unknown > 1 then return unknown end

if not is_seed then
  position, at_least = rpc_position(member and parse_position(member.p) or 0, read_floor())
  if not position then return { 'behind', at_least } end
  update.isByRpc = true
end

local speaker_keys = {}
for index, channel in ipairs(update.channelIds) do speaker_keys[channel] = KEYS[7 + index] end
local status, at, added, removed = apply_membership(update, position, KEYS[7], speaker_keys)
local replicas = tonumber(string.match(info, 'connected_slaves:(%d+)')) or 0
return { 'done', '{"revision":' .. integer(at) .. ',"epoch":"' .. epoch .. '"' .. ',"added":' .. json_list(added) .. ',"removed":'
  .. json_list(removed) .. ',"superseded":' .. tostring(status == 'stale') .. '}', replicas }
