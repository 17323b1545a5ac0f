-- Reads the bans that hold in the event. Makes nothing.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- Returns { ban JSON, ban JSON, ... }, those that end first first.
-- @include base
-- @include bans
local bans = {}
for_each_ban(function(user, expires_at) bans[#bans + 1] = ban_json(user, expires_at) end)
return bans
