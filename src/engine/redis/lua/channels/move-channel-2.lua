-- Gives a channel to an event, if it still belongs to the event that the caller expects. Notes an unfinished move: the event
-- that the channel leaves must handle it before the other event takes the channel.
--
-- KEYS[1] hash: channel -> event
-- KEYS[2] hash: channel -> token of its unfinished move
-- ARGV[1] channel
-- ARGV[2] the event that the channel must belong to; empty: none
-- ARGV[3] the event to which the channel moves
-- ARGV[4] token of the move
-- Returns 1 if the channel was given to the event; 0 if it now belongs to another event, or an earlier move is unfinished.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[4]) end
return 1
