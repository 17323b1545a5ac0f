-- Lets one replica at a time reconcile, after an interruption that many replicas have noticed.
--
-- KEYS[1] hash of the watermark. Its fields `reconciled` (ticket of the newest reconcile of all users), `claimer` and
--         `claimedUntil` (ms) belong to this script
-- ARGV[1] id of the caller
-- ARGV[2] the newest ticket when the caller requested the reconcile: a reconcile at a later ticket is enough
-- ARGV[3] how long the claim lasts, ms; 0 to release it
-- ARGV[4] ticket of the reconcile that the caller has completed; 0 if none
-- Returns 'done' if a reconcile at a later ticket is complete, 'wait' while another replica reconciles, else 'claimed'.
local noted = redis.call('HMGET', KEYS[1], 'reconciled', 'claimer', 'claimedUntil')
local reconciled, claimer, claimed_until = tonumber(noted[1]) or 0, noted[2], tonumber(noted[3]) or 0
local completed = tonumber(ARGV[4])
if completed > reconciled then
  reconciled = completed
  redis.call('HSET', KEYS[1], 'reconciled', ARGV[4])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local is_mine = claimer == ARGV[1]
if is_mine and ARGV[3] == '0' then redis.call('HSET', KEYS[1], 'claimedUntil', 0) end
if reconciled > tonumber(ARGV[2]) then return 'done' end
if claimed_until > now and not is_mine then return 'wait' end
if ARGV[3] ~= '0' then
  redis.call('HSET', KEYS[1], 'claimer', ARGV[1], 'claimedUntil', string.format('%.0f', now + tonumber(ARGV[3])))
end
return 'claimed'
