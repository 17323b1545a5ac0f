-- Runs every command that the other scripts run. So a replica notices that Redis refuses a command before a caller needs it.
-- Each command has a line of its own, because Redis 7.0 names only the line when it denies a command.
--
-- KEYS[1] probe: a key that only this script uses; it is deleted before the script ends
-- Returns 1.
local key = KEYS[1]
local time = redis.call('TIME')
redis.call('INFO', 'replication')
-- The first write must need memory: after any other write, Redis no longer checks in this script whether its memory is full.
redis.call('SET', key, '1')
redis.call('MSET', key, '1')
redis.call('GET', key)
redis.call('MGET', key)
redis.call('EXISTS', key)
redis.call('PTTL', key)
redis.call('PEXPIRE', key, 60000)
redis.call('PEXPIREAT', key, string.format('%.0f', time[1] * 1000 + 60000))
redis.call('UNLINK', key)
redis.call('HSET', key, 'field', '1')
redis.call('HSETNX', key, 'field', '1')
redis.call('HINCRBY', key, 'field', 1)
redis.call('HGET', key, 'field')
redis.call('HMGET', key, 'field')
redis.call('HGETALL', key)
redis.call('HKEYS', key)
redis.call('HVALS', key)
redis.call('HLEN', key)
redis.call('HEXISTS', key, 'field')
redis.call('HRANDFIELD', key)
redis.call('HDEL', key, 'field')
redis.call('SADD', key, 'member')
redis.call('SISMEMBER', key, 'member')
redis.call('SMEMBERS', key)
redis.call('SREM', key, 'member')
redis.call('ZADD', key, 1, 'member')
redis.call('ZSCORE', key, 'member')
redis.call('ZRANGEBYSCORE', key, 0, 1)
redis.call('ZREM', key, 'member')
redis.call('XADD', key, 'MAXLEN', 1, '1-0', 'field', '1')
redis.call('XRANGE', key, '-', '+', 'COUNT', 1)
redis.call('TYPE', key)
redis.call('DEL', key)
return 1
