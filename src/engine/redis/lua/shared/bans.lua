-- Reads bans. Including it writes nothing. All routers of a fleet keep bans in these keys, and other programs also write
-- them:
--
-- context.banned     sorted set: user -> end of the ban (ms); 9007199254740991 for a ban that lasts until it is lifted
-- context.banPrefix  followed by a user: hash of userId, bannedBy, bannedAt (ms), expiresAt (ms, or `permanent`), reason;
--                    expires with the ban
-- context.banNews    pub/sub channel: reports that bans in this event have changed
-- @include base
local PERMANENT = 9007199254740991

local function ban_key(user)
  return context.banPrefix .. user
end

-- Returns the JSON of a user's ban that ends at `expires_at`, ms.
local function ban_json(user, expires_at)
  local details = redis.call('HMGET', ban_key(user), 'reason', 'bannedBy', 'bannedAt')
  local banned_at = tonumber(details[3]) or 0
  local times = ''
  if banned_at > 0 and banned_at < 1e15 then times = ',"bannedAtMs":' .. integer(math.floor(banned_at)) end
  if expires_at < 1e15 then times = times .. ',"expiresAtMs":' .. integer(math.floor(expires_at)) end
  return '{"userId":' .. cjson.encode(user) .. ',"reason":' .. cjson.encode(details[1] or '')
    .. ',"bannedBy":' .. cjson.encode(details[2] or '') .. times .. '}'
end

-- Returns the JSON of a user's ban, or nil if none stands.
local function standing_ban(user)
  local expires_at = tonumber(redis.call('ZSCORE', context.banned, user))
  if not expires_at or expires_at <= now then return nil end
  return ban_json(user, expires_at)
end

-- Calls fn(user, end of the ban (ms)) for each standing ban, ordered by the end, the earliest first.
local function for_each_ban(fn)
  local flat = redis.call('ZRANGEBYSCORE', context.banned, '(' .. integer(now), '+inf', 'WITHSCORES')
  for index = 1, #flat, 2 do
    fn(flat[index], math.floor(math.min(tonumber(flat[index + 1]), PERMANENT)))
  end
end
