-- Tells the log of what has happened to bans without its knowledge: those that have ended, and those that others have
-- written, of users whom the event knows: its members, and the broadcaster. These are disconnected.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- Returns how long it is until the next end of a ban of which the log has told, ms; -1 if none has an end.
-- @include base
local told = redis.call('HGETALL', context.bans)
if #told == 0 and redis.call('EXISTS', context.banned) == 0 then return -1 end
-- @include log
-- @include floor
-- @include bans
-- @include queue
-- @include leases
-- @include disconnect
local told_ends = {}
for index = 1, #told, 2 do told_ends[told[index]] = tonumber(told[index + 1]) end

local standing, untold, next_end = {}, {}, -1
for_each_ban(function(user, expires_at)
  standing[user] = expires_at
  if not told_ends[user] then
    untold[#untold + 1] = user
  else
    if told_ends[user] ~= expires_at then tell_ban('', user, expires_at) end
    if next_end == -1 and expires_at < PERMANENT then next_end = expires_at - now end
  end
end)

for user, told_end in pairs(told_ends) do
  if not standing[user] then
    -- What has run out is still there, unless others have looked at it.
    local is_there = redis.call('ZREM', context.banned, user) == 1
    redis.call('DEL', ban_key(user))
    tell_end_of_ban('', user, is_there or told_end <= now)
  end
end

local pause = read_pause()
local broadcaster = pause and type(pause.broadcaster) == 'table' and pause.broadcaster.userId or nil
for_each_field(MEMBERS, untold, function(user, member)
  if not member and user ~= broadcaster then return end
  local details = redis.call('HGET', ban_key(user), 'reason')
  tell_ban('', user, standing[user])
  disconnect_user('', user, details or '')
  if standing[user] < PERMANENT and (next_end == -1 or standing[user] - now < next_end) then
    next_end = standing[user] - now
  end
end)
return next_end
