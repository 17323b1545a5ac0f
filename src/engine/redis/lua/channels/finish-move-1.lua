-- Removes an unfinished move of a channel, after the event that the channel left has handled it.
--
-- KEYS[1] hash: channel -> token of its unfinished move
-- ARGV[1] channel
-- ARGV[2] token of the move; if a later move has another token, it stays
-- Returns nothing.
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
