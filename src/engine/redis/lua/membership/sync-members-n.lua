-- Replaces the memberships of a whole event in one step, at a ticket of its own, which the script or the caller takes. Users
-- that the sync does not name lose all channels. Users whose channels stay the same get no change. The ticket becomes the
-- lowest position of the event, because a sync counts for every user: an update that was published before it loses, for
-- every user, and everything at or below it counts as written over RPC. Writes nothing if a channel belongs to another event,
-- or if new users would make the event too large.
--
-- Afterwards every watcher has what was synced, whatever it had before: where members were lost or replaced by an older copy,
-- or lost members were put back, the script begins a new epoch, so that every watcher gets a snapshot.
--
-- Publishes only the newest entry, because thousands in one step would overflow the output buffers of the subscribers.
-- Replicas read the others from the log.
--
-- Redis does nothing else meanwhile. Measured with 10,000 users of 10 channels, ids of 36 characters, on a small cloud
-- machine: 0.07 s where nothing changes, 0.25 s where all users are new, 0.4 s where all are revoked, 0.6 s where all change.
-- So about 30,000 users whose channels change take 2 s, after which the caller gets the answer that the outcome is unknown;
-- 100,000 took 7 s. The script goes on and ends. A repeat finds nothing to change.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- KEYS[7] hash: channel -> event
-- KEYS[8..] the speaker key of each channel in ARGV[2]
-- ARGV[2] JSON list of all channels of the users, in the order of their speaker keys
-- ARGV[3] actor
-- ARGV[4] action
-- ARGV[5..] two for each user, no user twice: the user, JSON list of the channels
-- Returns { 'foreign', channel, its event }
--      or { 'limit', the limit that excludes a user }
--      or { 'unknown', channel, channel, ... }: nothing was written. The caller must add the owners of these channels to the
--         hash of owners first
--      or { 'behind', the lowest ticket that is high enough }: nothing was written. The caller's ticket is not above what it
--         would overwrite
--      or { 'done', epoch, revision, number of users who changed, of these: number of users who were not named, number of
--           users who lost a channel, number of Redis replicas }.
-- @include membership
begin_epoch_if_lost()
begin_epoch_if_log_is_ahead()
begin_epoch_if_members_are_old()
begin_epoch_if_members_were_added()
end_expired_pause()
local named_channels = cjson.decode(ARGV[2])
local foreign = nil
for_each_field(KEYS[7], named_channels, function(channel, owner)
  if owner and owner ~= context.event then foreign = { 'foreign', channel, owner } end
end)
if foreign then return answer(foreign) end

local stored = {}
local flat = redis.call('HGETALL', MEMBERS)
for index = 1, #flat, 2 do stored[flat[index]] = flat[index + 1] end

local joining = 0
for index = 5, last_argument, 2 do
  if ARGV[index + 1] ~= '[]' and not stored[ARGV[index]] then joining = joining + 1 end
end
if joining > 0 and #flat / 2 + joining > context.maxUsersPerEvent then
  return answer({ 'limit', 'users_per_event' })
end
local unknown = { 'unknown' }
find_unknown(KEYS[7], named_channels, unknown)
if #unknown > 1 then return answer(unknown) end

local writes, highest, losers = {}, 0, 0

-- Adds a write to the plan if the new channels of a user, a JSON list, change something. For most users nothing changes, and
-- comparing the text is enough to see that.
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
    if #removed > 0 then losers = losers + 1 end
    write.added, write.removed, write.member = json_list(added), json_list(removed), member
  end
  writes[#writes + 1] = write
end

for index = 5, last_argument, 2 do
  plan(ARGV[index], ARGV[index + 1])
  stored[ARGV[index]] = nil
end
local of_named = #writes
for user in pairs(stored) do plan(user, '[]') end

local position, at_least = rpc_position(highest, lowest_position())
if not position then return answer({ 'behind', at_least }) end
redis.call('HSET', META, POSITION_FLOOR, position)
local speaker_keys = {}
for index, channel in ipairs(named_channels) do speaker_keys[channel] = KEYS[7 + index] end
learn_channels(KEYS[7], named_channels, speaker_keys)

local members, newest, changed = {}, nil, 0
for _, write in ipairs(writes) do
  -- A new user without channels becomes a member, which is not a change.
  local changed_at = 0
  if write.added ~= '[]' or write.removed ~= '[]' then
    newest = append_silently(ARGV[3],
      membership_changed(write.user, write.channels, write.added, write.removed, ARGV[4]))
    changed, changed_at = changed + 1, revision
  end
  members[#members + 1] = write.user
  members[#members + 1] = member_json({}, write.channels, position, write.member, changed_at)
end
in_chunks(members, function(_, ...)
  new_member_count = new_member_count + redis.call('HSET', MEMBERS, ...)
end)
note_member_count()
if newest then announce(newest) end
return answer({ 'done', epoch, revision, changed, #writes - of_named, losers, replica_count() })
