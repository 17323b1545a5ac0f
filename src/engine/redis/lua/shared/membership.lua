-- Changes memberships. Including it writes nothing. A script that writes members calls note_member_count() at its end.
-- @include floor

-- The field of META with the lowest position: the position of the newest sync. Updates at or below it are not applied. The field
-- keeps its old name, because replicas of several versions share it.
local POSITION_FLOOR = 'floor'

-- Returns the generation and the count of a position.
local function parse_position(text)
  local generation, count = string.match(text, '^(%d+)-(%d+)$')
  return tonumber(generation), tonumber(count)
end

-- Returns true if position a is later than position b.
local function is_later(a, b)
  local a_generation, a_count = parse_position(a)
  local b_generation, b_count = parse_position(b)
  if a_generation ~= b_generation then return a_generation > b_generation end
  return a_count > b_count
end

local function read_member(user)
  local raw = redis.call('HGET', MEMBERS, user)
  if not raw then return nil end
  return cjson.decode(raw)
end

-- Returns the revision of a member's newest change; 0 if that was in an earlier epoch.
local function member_revision(member)
  if not member or member.e ~= epoch then return 0 end
  return member.r
end

-- Returns the JSON of a member after a write; `channels` is a JSON list. Its fields:
--   c  the channels
--   p  position of the newest write
--   r  revision of the newest change
--   e  epoch of r
--   o  1 if the newest write came over RPC and named the user. A sync sets the lowest position instead
--   k  1 if a reconcile has found the control plane's key of the user
--   d  digest of the control plane's key of the user, if the key was older than the newest write
local function member_json(update, channels, position, member, changed_at)
  local rest = update.isByRpc and ',"o":1' or ''
  if update.isReconciled and channels ~= '[]' or member and member.k then rest = rest .. ',"k":1' end
  if update.staleKey then rest = rest .. ',"d":"' .. update.staleKey .. '"' end
  return '{"c":' .. channels .. ',"p":"' .. position .. '","r":' .. integer(changed_at) .. ',"e":"' .. epoch .. '"'
    .. rest .. '}'
end

-- The number of members that this script has added.
local new_member_count = 0

local function write_member(update, channels, position, member, changed_at)
  local json = member_json(update, json_list(channels), position, member, changed_at)
  new_member_count = new_member_count + redis.call('HSET', MEMBERS, update.userId, json)
end

-- Adds the members that this script has added to the count in META. begin_epoch_if_lost compares this count with MEMBERS.
local function note_member_count()
  if new_member_count == 0 then return end
  local count = noted_member_count and noted_member_count + new_member_count or redis.call('HLEN', MEMBERS)
  redis.call('HSET', META, 'members', integer(count))
end

-- Returns the body of the log entry of a change, and stores the change as the newest one. The lists are JSON. The caller must
-- append the entry next.
local function membership_changed(user, channels, added, removed, action)
  newest_change = integer(revision + 1) .. ' ' .. epoch .. ' ' .. user
  return '"kind":"membershipChanged","userId":' .. cjson.encode(user) .. ',"channelIds":' .. channels
    .. ',"added":' .. added .. ',"removed":' .. removed .. ',"action":' .. cjson.encode(action)
end

local known_lowest_position = nil

-- Returns the lowest position before this script; false if there is none.
local function lowest_position()
  if known_lowest_position == nil then known_lowest_position = redis.call('HGET', META, POSITION_FLOOR) end
  return known_lowest_position
end

-- Returns true if a position is not later than the member's newest write, or not above the lowest position.
local function is_stale(position, member, lowest)
  return member and not is_later(position, member.p) or lowest and not is_later(position, lowest)
end

-- Returns true if the newest write of a user came over RPC. This is a write that named the user, or a sync, which counts for every
-- user of the event.
local function is_written_by_rpc(member, lowest)
  if member and member.o then return true end
  return lowest and not (member and is_later(member.p, lowest))
end

-- Takes a ticket of at least `at_least`: the place of this script in the order of all writes.
local function take_ticket(at_least)
  local previous = tonumber(redis.call('GET', GENERATION)) or 0
  local generation = math.max(previous + 1, now, context.newestTicket + 1, at_least)
  redis.call('SET', GENERATION, integer(generation))
  if context.tickets ~= '' then redis.call('PUBLISH', context.tickets, integer(generation)) end
  return generation
end

-- Returns the position of a write over RPC: a ticket above `highest`, the highest generation that it overwrites, and above
-- the lowest position. If the caller has taken a ticket that is too low, returns nil and the lowest ticket that is high enough.
local function rpc_position(highest, lowest)
  local at_least = math.max(highest, lowest and parse_position(lowest) or 0) + 1
  if not context.ticket then return integer(take_ticket(at_least)) .. '-0' end
  if context.ticket < at_least then return nil, at_least end
  return integer(context.ticket) .. '-0'
end

-- Returns true if an update changes nothing: the store has a newer write, or the update comes from a reconcile and the
-- newest write came over RPC.
local function is_overruled(update, position, member, lowest)
  if update.isReconciled and is_written_by_rpc(member, lowest) then return true end
  return is_stale(position, member, lowest)
end

-- Adds to `unknown` the channels without an entry in the hash of owners, if their owner must be looked up elsewhere.
local function find_unknown(channel_events, channels, unknown)
  if not context.ownersApart then return end
  for_each_field(channel_events, channels, function(channel, owner)
    if not owner then unknown[#unknown + 1] = channel end
  end)
end

-- Gives a channel to this event if it belongs to none. Returns true if it belongs to this event.
local function learn_channel(channel_events, channel, speaker_key)
  local owner = redis.call('HGET', channel_events, channel)
  if not owner then
    redis.call('HSET', channel_events, channel, context.event)
    owner = context.event
  end
  if owner ~= context.event then return false end
  if redis.call('SADD', CHANNELS, channel) == 1 then hold_new_channel(channel, speaker_key) end
  return true
end

-- The results of learn_channel in this script, by channel.
local learned = {}

-- Gives channels that belong to no event to this event. Returns the channels of this event and those of other events.
local function learn_channels(channel_events, channels, speaker_keys)
  local own, foreign = {}, {}
  for _, channel in ipairs(channels) do
    if learned[channel] == nil then
      learned[channel] = learn_channel(channel_events, channel, speaker_keys[channel])
    end
    local kind = learned[channel] and own or foreign
    kind[#kind + 1] = channel
  end
  return own, foreign
end

-- Returns what was added to a list and what was removed from it.
local function difference(before, after)
  local had, added, removed = {}, {}, {}
  for _, item in ipairs(before) do had[item] = true end
  for _, item in ipairs(after) do
    if had[item] then had[item] = false else added[#added + 1] = item end
  end
  for _, item in ipairs(before) do
    if had[item] then removed[#removed + 1] = item end
  end
  return added, removed
end

-- Returns the channels that the limits allow, and the limit that excludes a channel, if one does. A new user of a full event
-- gets none. A user whose list is too long keeps the channels that are in the list, so that a limit never prevents a
-- revocation. Costs nothing for a known user with a list that is short enough.
local function within_limits(channels, member)
  if #channels > context.maxChannelsPerUser then
    local had, kept = {}, {}
    for _, channel in ipairs(member and member.c or {}) do had[channel] = true end
    for _, channel in ipairs(channels) do
      if had[channel] then kept[#kept + 1] = channel end
    end
    if #kept < #channels then return kept, 'channels_per_user' end
  end
  if not member and #channels > 0 and redis.call('HLEN', MEMBERS) >= context.maxUsersPerEvent then
    return {}, 'users_per_event'
  end
  return channels, nil
end

-- Replaces a user's channels at a position, except channels of other events. Returns the status (`changed`, `unchanged` or
-- `stale`), the revision of the user's newest change, the channels that were added, those that were removed, those of other
-- events, and the limit that excluded a channel, if one did.
local function apply_membership(update, position, channel_events, speaker_keys)
  local user = update.userId
  local member = read_member(user)
  if is_overruled(update, position, member, lowest_position()) then return 'stale', member_revision(member), {}, {}, {} end
  local allowed, limit = within_limits(update.channelIds, member)
  if limit == 'users_per_event' then return 'unchanged', 0, {}, {}, {}, limit end
  local channels, foreign = learn_channels(channel_events, allowed, speaker_keys)
  local added, removed = difference(member and member.c or {}, channels)
  if #added == 0 and #removed == 0 then
    write_member(update, channels, position, member, member_revision(member))
    return 'unchanged', member_revision(member), added, removed, foreign, limit
  end
  append(update.actor,
    membership_changed(user, json_list(channels), json_list(added), json_list(removed), update.action))
  write_member(update, channels, position, member, revision)
  return 'changed', revision, added, removed, foreign, limit
end
