-- Replaces one user's channels at a ticket of its own, which the script or the caller takes: what the control plane published
-- before it loses, what it publishes later wins. Writes nothing if a channel belongs to another event or a limit excludes a
-- channel.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8..] the speaker key of each channel of the update
-- ARGV[2] update: JSON of {userId, channelIds, action, actor}
-- ARGV[3] 1: write only if the user was never written and the event never synced. The position is then before every other,
--         so that an update wins that was published earlier and is applied later
-- ARGV[4] write only if the newest change of the user has this revision; empty: write in any case
-- Returns { 'foreign', channel, its event }
--      or { 'changed', revision of the user's newest change }: nothing was written
--      or { 'limit', the limit that excludes a channel }
--      or { 'unknown', channel, channel, ... }: nothing was written. The caller must add the owners of these channels to the
--         hash of owners first
--      or { 'behind', the lowest ticket that is high enough }: nothing was written. The caller's ticket is not above what it
--         would overwrite
--      or { 'done', outcome JSON, number of Redis replicas }.
-- @include membership
begin_epoch_if_lost()
begin_epoch_if_members_are_old()
end_expired_pause()
local update = cjson.decode(ARGV[2])

for _, channel in ipairs(update.channelIds) do
  local owner = redis.call('HGET', KEYS[7], channel)
  if owner and owner ~= context.event then return answer({ 'foreign', channel, owner }) end
end

local position, at_least = '0-0', nil
local is_seed = ARGV[3] == '1'
local member = read_member(update.userId)
if ARGV[4] ~= '' and tonumber(ARGV[4]) ~= member_revision(member) then
  return answer({ 'changed', member_revision(member) })
end
local unknown = { 'unknown' }
if not (is_seed and is_stale(position, member, lowest_position())) then
  local allowed, limit = within_limits(update.channelIds, member)
  if limit then return answer({ 'limit', limit }) end
  find_unknown(KEYS[7], allowed, unknown)
end
if #unknown > 1 then return answer(unknown) end

if not is_seed then
  position, at_least = rpc_position(member and parse_position(member.p) or 0, lowest_position())
  if not position then return answer({ 'behind', at_least }) end
  update.isByRpc = true
end

local speaker_keys = {}
for index, channel in ipairs(update.channelIds) do speaker_keys[channel] = KEYS[7 + index] end
local status, at, added, removed = apply_membership(update, position, KEYS[7], speaker_keys)
note_member_count()
return answer({ 'done', '{"revision":' .. integer(at) .. ',"epoch":"' .. epoch .. '","added":' .. json_list(added)
  .. ',"removed":' .. json_list(removed) .. ',"superseded":' .. tostring(status == 'stale') .. '}', replica_count() })
