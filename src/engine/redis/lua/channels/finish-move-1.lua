-- Forgets a move of a channel: the event that it left knows.
--
-- KEYS[1] hash: channel -> token of the move that is unfinished
-- ARGV[1] channel
-- ARGV[2] token of the move
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
