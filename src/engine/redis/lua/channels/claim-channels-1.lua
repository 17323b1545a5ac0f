-- Gives the channels that belong to no event to one event, and returns the owner of each channel.
--
-- KEYS[1] hash: channel -> event
-- ARGV[1] event
-- ARGV[2] each: give every channel that has no owner; all: do this only if no channel belongs to another event
-- ARGV[3..] channels
-- Returns the event of each channel, in the order of the arguments; '' for a channel that has no owner.
local owners, is_foreign = {}, false
for index = 3, #ARGV do
  local owner = redis.call('HGET', KEYS[1], ARGV[index])
  owners[#owners + 1] = owner or ''
  if owner and owner ~= ARGV[1] then is_foreign = true end
end
if ARGV[2] == 'all' and is_foreign then return owners end
for index = 3, #ARGV do
  if owners[index - 2] == '' then
    redis.call('HSET', KEYS[1], ARGV[index], ARGV[1])
    owners[index - 2] = ARGV[1]
  end
end
return owners
