-- Stores the progress of a router in one event: its watch is open, it has applied changes up to a revision, or it has left.
-- Also checks one random router, and removes it if it was silent for too long. The hash expires when all routers are silent.
--
-- KEYS[1] hash: router -> JSON of {epoch, revision: the newest that it has applied, appliedMs: time of that report, seenMs: time
--         of its last report or, before the first one, of its first watch, heldMs: time at which its watch was last seen open};
--         all fields except seenMs may be missing
-- KEYS[2] META, see shared/base.lua
-- ARGV[1] pub/sub channel of the progress of the event's routers
-- ARGV[2] router
-- ARGV[3] time after which a silent router is removed, ms
-- ARGV[4] 'held': its watch is open; 'applied': it has applied changes; 'gone': it has left
-- ARGV[5], ARGV[6] epoch and revision, for 'applied'
-- Returns 1 if this changed the progress and was published, else 0.
local router, silence_ms, note = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Returns an entry as JSON. cjson itself would write large numbers with 14 digits.
local function to_json(entry)
  local parts = { string.format('"seenMs":%.0f', entry.seenMs) }
  if entry.heldMs then table.insert(parts, string.format('"heldMs":%.0f', entry.heldMs)) end
  if entry.epoch then
    table.insert(parts, string.format('"epoch":%s,"revision":%.0f,"appliedMs":%.0f', cjson.encode(entry.epoch),
      entry.revision, entry.appliedMs))
  end
  return table.concat(parts, ',')
end

local function publish(fields)
  redis.call('PUBLISH', ARGV[1], '{"routerId":' .. cjson.encode(router) .. ',' .. fields .. '}')
  return 1
end

if note == 'gone' then
  return redis.call('HDEL', KEYS[1], router) == 1 and publish('"isGone":true') or 0
end

local known = redis.call('HGET', KEYS[1], router)
local entry = known and cjson.decode(known) or { seenMs = now }
local is_news = not known
if note == 'held' then
  entry.heldMs = now
else
  local head = redis.call('HMGET', KEYS[2], 'epoch', 'revision')
  -- The event was never watched.
  if not head[1] then return 0 end
  local epoch, revision = ARGV[5], tonumber(ARGV[6])
  local is_behind = entry.epoch == epoch and entry.revision >= revision
  entry.seenMs = now
  if epoch == head[1] and revision <= tonumber(head[2]) and not is_behind then
    entry.epoch, entry.revision, entry.appliedMs = epoch, revision, now
    is_news = true
  end
end
local fields = to_json(entry)
redis.call('HSET', KEYS[1], router, '{' .. fields .. '}')
redis.call('PEXPIRE', KEYS[1], silence_ms)

local other = redis.call('HRANDFIELD', KEYS[1], 1, 'WITHVALUES')
local other_entry = cjson.decode(other[2])
if math.max(other_entry.seenMs, other_entry.heldMs or 0) + silence_ms <= now then
  redis.call('HDEL', KEYS[1], other[1])
end
return is_news and publish(fields) or 0
