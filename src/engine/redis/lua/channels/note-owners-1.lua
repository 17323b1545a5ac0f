-- Notes whose channels are, as far as nothing is noted: what was read before a channel moved must not undo the move.
--
-- KEYS[1] hash: channel -> event
-- ARGV[1..] two for each channel: the channel, its event
for index = 1, #ARGV, 2 do redis.call('HSETNX', KEYS[1], ARGV[index], ARGV[index + 1]) end
