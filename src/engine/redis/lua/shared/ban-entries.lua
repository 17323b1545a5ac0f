-- Appends bans and their ends to the log. Including it writes nothing. Redis sends no notification when a ban expires.
-- So the bans hash keeps each ban until the log has its end, too.
-- @include log
-- @include bans

-- Appends a ban that stands.
local function append_ban(actor, user, expires_at)
  redis.call('HSET', context.bans, user, integer(expires_at))
  append(actor, '"kind":"userBanned","ban":' .. ban_json(user, expires_at))
end

-- Appends the end of a ban.
local function append_end_of_ban(actor, user, expired)
  redis.call('HDEL', context.bans, user)
  append(actor, '"kind":"userUnbanned","userId":' .. cjson.encode(user) .. ',"expired":' .. tostring(expired))
end

local function publish_ban_news()
  redis.call('PUBLISH', context.banNews, context.event)
end
