-- Announces the ends of leases that have run out: to watchers, and to the channels that have become free by it.
--
-- KEYS[1..6], ARGV[1]: see shared/base.lua
-- ARGV[2] JSON list of the channels whose leases to look at; empty: all of the event
-- Returns those that run, and for how long yet: channel, ms, channel, ms, ...
-- @include base
-- @include log
-- @include floor
-- @include leases
local channels = cjson.decode(ARGV[2])
local noted_leases = {}
if #channels == 0 then
  noted_leases = redis.call('HGETALL', context.leases)
else
  for_each_field(context.leases, channels, function(channel, noted_lease)
    if noted_lease then
      noted_leases[#noted_leases + 1] = channel
      noted_leases[#noted_leases + 1] = noted_lease
    end
  end)
end
local running = settle_leases(noted_leases)
for index = 2, #running, 2 do running[index] = math.max(running[index] - now, 0) end
return running
