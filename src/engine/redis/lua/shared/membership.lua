-- Needs log.lua and floor.lua.

local function parse_position(text)
  local generation, count = string.match(text, '^(%d+)-(%d+)$')
  return tonumber(generation), tonumber(count)
end

-- True if position a is later than position b.
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

-- The revision of a member's newest change; one of an earlier epoch says nothing any more.
local function member_revision(member)
  if not member or member.e ~= epoch then return 0 end
  return member.r
end

-- What is kept of a member as of a write; channels is a JSON list.
local function member_json(update, channels, position, member, changed_at)
  local rest = update.isByRpc and ',"o":1' or ''
  if update.isReconciled and channels ~= '[]' or member and member.k then rest = rest .. ',"k":1' end
  return '{"c":' .. channels .. ',"p":"' .. position .. '","r":' .. integer(changed_at) .. ',"e":"' .. epoch .. '"'
    .. rest .. '}'
end

local function write_member(update, channels, position, member, changed_at)
  redis.call('HSET', MEMBERS, update.userId, member_json(update, json_list(channels), position, member, changed_at))
end

-- The body of the entry that tells of a change; the lists are JSON.
local function membership_changed(user, channels, added, removed, action)
  return '"kind":"membershipChanged","userId":' .. cjson.encode(user) .. ',"channelIds":' .. channels
    .. ',"added":' .. added .. ',"removed":' .. removed .. ',"action":' .. cjson.encode(action)
end

local known_floor = nil

-- The position of the newest sync before this script, false if there was none.
local function read_floor()
  if known_floor == nil then known_floor = redis.call('HGET', META, 'floor') end
  return known_floor
end

-- True if a position is not later than what was written before it.
local function is_stale(position, member, floor)
  return member and not is_later(position, member.p) or floor and not is_later(position, floor)
end

-- True if the newest word on a user came over RPC: by name, or by a sync, which speaks also for those whom it does not
-- name or leaves as they are.
local function is_written_by_rpc(member, floor)
  if member and member.o then return true end
  return floor and not (member and is_later(member.p, floor))
end

-- Takes a ticket, at least that high: the place in the order of all writes that this script has.
local function take_ticket(at_least)
  local previous = tonumber(redis.call('GET', GENERATION)) or 0
  local generation = math.max(previous + 1, now, context.newestTicket + 1, at_least)
  redis.call('SET', GENERATION, integer(generation))
  if context.tickets then redis.call('PUBLISH', context.tickets, integer(generation)) end
  return generation
end

-- The position of a write over RPC: at a ticket above all that it overwrites, of which the highest generation is given.
-- Where tickets are taken elsewhere, and the caller's is no longer above it, returns nil and the least that will do.
local function rpc_position(highest, floor)
  local at_least = math.max(highest, floor and parse_position(floor) or 0) + 1
  if not context.ticket then return integer(take_ticket(at_least)) .. '-0' end
  if context.ticket < at_least then return nil, at_least end
  return integer(context.ticket) .. '-0'
end

-- True if an update is to touch nothing: a newer write was there before it, or it was concluded and meets one over RPC.
local function is_overruled(update, position, member, floor)
  if update.isReconciled and is_written_by_rpc(member, floor) then return true end
  return is_stale(position, member, floor)
end

-- Adds those of the channels to a list of which nobody has noted yet whose they are. Empty where channels that nobody
-- has noted are nobody's.
local function find_unknown(channel_events, channels, unknown)
  if not context.ownersApart then return end
  for_each_field(channel_events, channels, function(channel, owner)
    if not owner then unknown[#unknown + 1] = channel end
  end)
end

-- Learns a channel as this event's if it belongs to none. Returns whether it is this event's.
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

-- Whether a channel is this event's, as far as this script has asked.
local learned = {}

-- Learns the channels that belong to no event as this event's. Returns those of this event and those of others.
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

-- What one list has that the other has not: the gain and the loss.
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

-- The channels that an update may leave its user with, and the limit that keeps something out, if one does. Who is new
-- to a full event gets none; of a list that is too long only what the user has already stays, so that no limit keeps a
-- channel from being taken away. Costs nothing where the user is known and the list short enough.
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

-- Replaces a user's channels, those of other events left out, as of a position. Returns what happened, the user's
-- newest revision, what was gained, what was lost, what was left out and the limit that kept something out, if any.
local function apply_membership(update, position, channel_events, speaker_keys)
  local user = update.userId
  local member, floor = read_member(user), read_floor()
  if is_overruled(update, position, member, floor) then return 'stale', member_revision(member), {}, {}, {} end
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
