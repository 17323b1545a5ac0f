-- Applies updates of one event in their order. Each update is applied only if its position is later than that of the user's
-- newest write, so the latest write wins. Channels in the updates that belong to no event are given to this event.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8..] the speaker key of each channel in ARGV[2]
-- ARGV[2] JSON list of all channels in the updates, in the order of their speaker keys
-- ARGV[3..] one update each: JSON of {userId, channelIds, action, actor, position, isReconciled, staleKey}
-- Returns a JSON list of the outcomes
--      or { 'unknown', channel, channel, ... }: nothing was written. The caller must add the owners of these channels to the
--         hash of owners first.
-- @include membership
begin_epoch_if_lost()
begin_epoch_if_members_are_old()
end_expired_pause()

local speaker_keys = {}
for index, channel in ipairs(cjson.decode(ARGV[2])) do speaker_keys[channel] = KEYS[7 + index] end

local updates, unknown = {}, { 'unknown' }
for index = 3, last_argument do
  local update = cjson.decode(ARGV[index])
  updates[#updates + 1] = update
  if context.ownersApart then
    local member = read_member(update.userId)
    if not is_overruled(update, update.position, member, lowest_position()) then
      find_unknown(KEYS[7], within_limits(update.channelIds, member), unknown)
    end
  end
end
if #unknown > 1 then return answer(unknown) end

local results = {}
append_together(function()
  for _, update in ipairs(updates) do
    local status, at, added, removed, foreign, limit = apply_membership(update, update.position, KEYS[7], speaker_keys)
    results[#results + 1] = '{"status":"' .. status .. '","revision":' .. integer(at) .. ',"added":' .. json_list(added)
      .. ',"removed":' .. json_list(removed) .. ',"foreignChannelIds":' .. json_list(foreign)
      .. (limit and ',"overLimit":"' .. limit .. '"}' or '}')
  end
end)
note_member_count()
return answer('[' .. table.concat(results, ',') .. ']')
