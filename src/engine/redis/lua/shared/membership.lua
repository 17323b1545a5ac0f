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

local function write_member(user, channels, position, member, changed_at)
  local disconnected = ''
  if member and member.d then disconnected = ',"d":' .. integer(member.d) end
  redis.call('HSET', MEMBERS, user, '{"c":' .. json_list(channels) .. ',"p":"' .. position .. '","r":'
    .. integer(changed_at) .. ',"e":"' .. epoch .. '"' .. disconnected .. '}')
end

-- Learns the channels that belong to no event as this event's. Returns those of this event and those of others.
local function learn_channels(channel_events, channels, speaker_keys)
  local own, foreign = {}, {}
  for _, channel in ipairs(channels) do
    local owner = redis.call('HGET', channel_events, channel)
    if not owner then
      redis.call('HSET', channel_events, channel, context.event)
      owner = context.event
    end
    if owner == context.event then
      own[#own + 1] = channel
      if redis.call('SADD', CHANNELS, channel) == 1 then hold_new_channel(channel, speaker_keys[channel]) end
    else
      foreign[#foreign + 1] = channel
    end
  end
  return own, foreign
end

local function difference(list, others)
  local known, rest = {}, {}
  for _, item in ipairs(others) do known[item] = true end
  for _, item in ipairs(list) do
    if not known[item] then rest[#rest + 1] = item end
  end
  return rest
end

-- Replaces a user's channels, those of other events left out, as of a position. Returns what happened, the user's
-- newest revision, what was gained, what was lost and what was left out.
local function apply_membership(update, position, channel_events, speaker_keys)
  local user = update.userId
  local member = read_member(user)
  local floor = redis.call('HGET', META, 'floor')
  if (member and not is_later(position, member.p)) or (floor and not is_later(position, floor)) then
    return 'stale', member_revision(member), {}, {}, {}
  end
  local channels, foreign = learn_channels(channel_events, update.channelIds, speaker_keys)
  local before = member and member.c or {}
  local added, removed = difference(channels, before), difference(before, channels)
  if #added == 0 and #removed == 0 then
    write_member(user, channels, position, member, member_revision(member))
    return 'unchanged', member_revision(member), added, removed, foreign
  end
  append(update.actor, '"kind":"membershipChanged","userId":' .. cjson.encode(user) .. ',"channelIds":' .. json_list(channels)
    .. ',"added":' .. json_list(added) .. ',"removed":' .. json_list(removed) .. ',"action":' .. cjson.encode(update.action))
  write_member(user, channels, position, member, revision)
  return 'changed', revision, added, removed, foreign
end
