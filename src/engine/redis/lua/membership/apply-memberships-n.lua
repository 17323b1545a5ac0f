-- Applies updates of one event in their order, each as a compare-and-set on the position of its user's newest write
-- (latest wins), and learns the channels they name.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8..] speaker keys, one for each of the named channels
-- ARGV[2] JSON list of the named channels, in the order of their keys
-- ARGV[3..] an update each: JSON of {userId, channelIds, action, actor, position, isReconciled}
-- Returns a JSON list of the outcomes
--      or { 'unknown', channel, channel, ... }: whose these are is to be noted first, nothing was written.
-- @include base
-- @include log
-- @include floor
-- @include leases
-- @include membership

local speaker_keys = {}
for index, channel in ipairs(cjson.decode(ARGV[2])) do speaker_keys[channel] = KEYS[7 + index] end

local updates, unknown = {}, { 'unknown' }
for index = 3, #ARGV do
  local update = cjson.decode(ARGV[index])
  updates[#updates + 1] = update
  if context.ownersApart then
    local member = read_member(update.userId)
    if not is_overruled(update, update.position, member, read_floor()) then
      find_unknown(KEYS[7], within_limits(update.channelIds, member), unknown)
    end
  end
end
if #unknown > 1 then return unknown end

local results = {}
append_together(function()
  for _, update in ipairs(updates) do
    local status, at, added, removed, foreign, limit = apply_membership(update, update.position, KEYS[7], speaker_keys)
    results[#results + 1] = '{"status":"' .. status .. '","revision":' .. integer(at) .. ',"added":' .. json_list(added)
      .. ',"removed":' .. json_list(removed) .. ',"foreignChannelIds":' .. json_list(foreign)
      .. (limit and ',"overLimit":"' .. limit .. '"}' or '}')
  end
end)
return '[' .. table.concat(results, ',') .. ']'
