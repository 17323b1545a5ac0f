-- Appends to the log the changes of bans that no call has made: bans that have expired, and bans that other programs have written
-- or removed. A ban by another program is appended, and disconnects its user, only if the user is a member of the event or the
-- broadcaster.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- Returns the time until the next ban in the log ends, ms; -1 if no ban ends by itself.
-- @include base
local known = redis.call('HGETALL', context.bans)
if #known == 0 and redis.call('EXISTS', context.banned) == 0 then return -1 end
-- Most calls end above, so the following files are included only here.
-- @include ban-entries
-- @include disconnect
begin_epoch_if_lost()
end_expired_pause()
local known_ends = {}
for index = 1, #known, 2 do known_ends[known[index]] = tonumber(known[index + 1]) end

local standing, unknown, next_end = {}, {}, -1
for_each_ban(function(user, expires_at)
  standing[user] = expires_at
  if not known_ends[user] then
    unknown[#unknown + 1] = user
  else
    if known_ends[user] ~= expires_at then append_ban('', user, expires_at) end
    if next_end == -1 and expires_at < PERMANENT then next_end = expires_at - now end
  end
end)

for user, known_end in pairs(known_ends) do
  if not standing[user] then
    -- The set still has an expired ban, unless another program has removed it.
    local is_there = redis.call('ZREM', context.banned, user) == 1
    redis.call('DEL', ban_key(user))
    append_end_of_ban('', user, is_there or known_end <= now)
  end
end

local pause = read_pause()
local broadcaster = pause and type(pause.broadcaster) == 'table' and pause.broadcaster.userId or nil
for_each_field(MEMBERS, unknown, function(user, member)
  if not member and user ~= broadcaster then return end
  local details = redis.call('HGET', ban_key(user), 'reason')
  append_ban('', user, standing[user])
  disconnect_user('', user, details or '')
  if standing[user] < PERMANENT and (next_end == -1 or standing[user] - now < next_end) then
    next_end = standing[user] - now
  end
end)
return answer(next_end)
