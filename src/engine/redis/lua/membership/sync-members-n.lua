-- Replaces the memberships of a whole event in one step, at a ticket of its own, taken here or by the caller: users who
-- are not named lose all channels, those whose channels stay the same make no change. The ticket becomes the event's
-- floor, because it speaks for everybody: what the control plane published before it loses, for whomever, and all at or
-- below it counts as written over RPC. Nothing is written if a channel belongs to another event, or if users who are new
-- to the event would make it too large.
--
-- Only the newest entry is published, since thousands in one step would overflow the output buffers of the subscribers;
-- replicas read the others from the log.
--
-- Redis does nothing else meanwhile. Measured with 10,000 users of 10 channels, ids of 36 characters, on a small cloud
-- machine: 0.07 s where nothing changes, 0.25 s where all are new, 0.4 s where all are revoked, 0.6 s where all change.
-- So about 30,000 users whose channels change take the 2 s after which the caller is told that the outcome is unknown;
-- 100,000 took 7 s. The script ends all the same, and a repeat finds nothing to change.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8..] speaker keys, one for each of the named channels
-- ARGV[2] JSON list of the named channels, in the order of their keys
-- ARGV[3] actor
-- ARGV[4] action
-- ARGV[5..] two for each user, nobody twice: the user, JSON list of the channels
-- Returns { 'foreign', channel, its event }
--      or { 'limit', the one that keeps something out }
--      or { 'unknown', channel, channel, ... }: whose these are is to be noted first, nothing was written
--      or { 'behind', the least ticket that will do }: the caller's is not above what it overwrites, nothing was written
--      or { 'done', epoch, revision, users who changed, those of them who were not named, number of Redis replicas }.
-- @include base
-- @include log
-- @include floor
-- @include membership
local named_channels = cjson.decode(ARGV[2])
local foreign = nil
for_each_field(KEYS[7], named_channels, function(channel, owner)
  if owner and owner ~= context.event then foreign = { 'foreign', channel, owner } end
end)
if foreign then return foreign end

local stored = {}
local flat = redis.call('HGETALL', MEMBERS)
for index = 1, #flat, 2 do stored[flat[index]] = flat[index + 1] end

local joining = 0
for index = 5, #ARGV, 2 do
  if ARGV[index + 1] ~= '[]' and not stored[ARGV[index]] then joining = joining + 1 end
end
if joining > 0 and #flat / 2 + joining > context.maxUsersPerEvent then return { 'limit', 'users_per_event' } end
local unknown = { 'unknown' }
find_unknown(KEYS[7], named_channels, unknown)
if #unknown > 1 then return unknown end

local writes, highest = {}, 0

-- Notes what a user's new channels, a JSON list, change. Of most nothing changes, which their text tells.
local function plan(user, channels)
  local raw = stored[user]
  local unchanged = '{"c":' .. channels .. ',"p":"'
  if raw and string.sub(raw, 1, #unchanged) == unchanged then
    highest = math.max(highest, tonumber(string.match(raw, '^%d+', #unchanged + 1)))
    return
  end
  local write = { user = user, channels = channels, added = channels, removed = '[]' }
  if raw then
    local member = cjson.decode(raw)
    highest = math.max(highest, (parse_position(member.p)))
    local added, removed = difference(member.c, cjson.decode(channels))
    if #added == 0 and #removed == 0 then return end
    write.added, write.removed, write.member = json_list(added), json_list(removed), member
  end
  writes[#writes + 1] = write
end

for index = 5, #ARGV, 2 do
  plan(ARGV[index], ARGV[index + 1])
  stored[ARGV[index]] = nil
end
local of_named = #writes
for user in pairs(stored) do plan(user, '[]') end

local position, at_least = rpc_position(highest, read_floor())
if not position then return { 'behind', at_least } end
redis.call('HSET', META, 'floor', position)
local speaker_keys = {}
for index, channel in ipairs(named_channels) do speaker_keys[channel] = KEYS[7 + index] end
learn_channels(KEYS[7], named_channels, speaker_keys)

local members, newest, changed = {}, nil, 0
for _, write in ipairs(writes) do
  -- A user who was unknown and has no channels is known from now on, which is no change.
  local changed_at = 0
  if write.added ~= '[]' or write.removed ~= '[]' then
    newest = append_silently(ARGV[3],
      membership_changed(write.user, write.channels, write.added, write.removed, ARGV[4]))
    changed, changed_at = changed + 1, revision
  end
  members[#members + 1] = write.user
  members[#members + 1] = member_json({}, write.channels, position, write.member, changed_at)
end
in_chunks(members, function(_, ...) redis.call('HSET', MEMBERS, ...) end)
if newest then announce(newest) end

local replicas = tonumber(string.match(info, 'connected_slaves:(%d+)')) or 0
return { 'done', epoch, revision, changed, #writes - of_named, replicas }
