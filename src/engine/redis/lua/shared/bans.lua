-- Needs base.lua, and log.lua for what tells of a ban. Bans are where all routers of a fleet have always kept them, and
-- others write them too:
--
-- banned     sorted set: user -> when the ban ends (ms), 9007199254740991 for one that holds until it is lifted
-- banPrefix  with a user behind it: hash of userId, bannedBy, bannedAt (ms), expiresAt (ms, or `permanent`) and reason,
--            gone when the ban has ended
-- banNews    pub/sub channel: bans that hold in this event have changed
--
-- That a ban ends tells nobody, so those of which the log has told are kept in the bans hash until it has told the end.
local PERMANENT = 9007199254740991

local function ban_key(user)
  return context.banPrefix .. user
end

-- JSON of the ban of a user that ends then.
local function ban_json(user, expires_at)
  local details = redis.call('HMGET', ban_key(user), 'reason', 'bannedBy', 'bannedAt')
  local banned_at = tonumber(details[3]) or 0
  local times = ''
  if banned_at > 0 and banned_at < 1e15 then times = ',"bannedAtMs":' .. integer(math.floor(banned_at)) end
  if expires_at < 1e15 then times = times .. ',"expiresAtMs":' .. integer(math.floor(expires_at)) end
  return '{"userId":' .. cjson.encode(user) .. ',"reason":' .. cjson.encode(details[1] or '')
    .. ',"bannedBy":' .. cjson.encode(details[2] or '') .. times .. '}'
end

-- JSON of a user's ban, or nil if none stands.
local function standing_ban(user)
  local expires_at = tonumber(redis.call('ZSCORE', context.banned, user))
  if not expires_at or expires_at <= now then return nil end
  return ban_json(user, expires_at)
end

-- Calls fn(user, when it ends (ms)) for each ban that stands, those that end first first.
local function for_each_ban(fn)
  local flat = redis.call('ZRANGEBYSCORE', context.banned, '(' .. integer(now), '+inf', 'WITHSCORES')
  for index = 1, #flat, 2 do
    fn(flat[index], math.floor(math.min(tonumber(flat[index + 1]), PERMANENT)))
  end
end

-- Tells the log of a ban that stands.
local function tell_ban(actor, user, expires_at)
  redis.call('HSET', context.bans, user, integer(expires_at))
  append(actor, '"kind":"userBanned","ban":' .. ban_json(user, expires_at))
end

-- Tells the log that a ban has ended.
local function tell_end_of_ban(actor, user, expired)
  redis.call('HDEL', context.bans, user)
  append(actor, '"kind":"userUnbanned","userId":' .. cjson.encode(user) .. ',"expired":' .. tostring(expired))
end

local function publish_ban_news()
  redis.call('PUBLISH', context.banNews, context.event)
end
