-- Notes the owners of channels that have no entry yet. Existing entries stay: an owner that was read before the channel moved
-- must not undo the move.
--
-- KEYS[1] hash: channel -> event
-- ARGV[1..] two for each channel: the channel, its event
-- Returns nothing.
for index = 1, #ARGV, 2 do redis.call('HSETNX', KEYS[1], ARGV[index], ARGV[index + 1]) end
