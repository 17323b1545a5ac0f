-- Reads the bans that hold in the event. Writes nothing.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- Returns { ban JSON, ban JSON, ... }, ordered by their end, the earliest first.
-- @include bans
local bans = {}
for_each_ban(function(user, expires_at) bans[#bans + 1] = ban_json(user, expires_at) end)
return bans
