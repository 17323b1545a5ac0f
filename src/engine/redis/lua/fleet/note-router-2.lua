-- Notes what was heard of a router in one event: that its watch is open, that it has acted up to a position, or that it
-- has left. What was not heard of lately is forgotten: one other router, picked at random, is looked at in passing, and
-- where nobody is left the whole hash runs out.
--
-- KEYS[1] routers  hash: router -> JSON of {epoch, revision: up to where it has acted, appliedMs: since when that is
--                  known, seenMs: when it last reported, else when it was first held, heldMs: when its watch was last
--                  seen open}; all but seenMs may be missing
-- KEYS[2] meta     see shared/base.lua
-- ARGV[1] pub/sub channel of the routers' news
-- ARGV[2] router
-- ARGV[3] how long a router is remembered, ms
-- ARGV[4] what was heard: 'held', 'applied' or 'gone'
-- ARGV[5], ARGV[6] epoch and revision, for 'applied'
-- Returns 1 if it was news, else 0.
local router, silence_ms, heard = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- cjson would write large numbers with 14 digits.
local function to_json(entry)
  local parts = { string.format('"seenMs":%.0f', entry.seenMs) }
  if entry.heldMs then table.insert(parts, string.format('"heldMs":%.0f', entry.heldMs)) end
  if entry.epoch then
    table.insert(parts, string.format('"epoch":%s,"revision":%.0f,"appliedMs":%.0f', cjson.encode(entry.epoch),
      entry.revision, entry.appliedMs))
  end
  return table.concat(parts, ',')
end

local function tell(fields)
  redis.call('PUBLISH', ARGV[1], '{"routerId":' .. cjson.encode(router) .. ',' .. fields .. '}')
  return 1
end

if heard == 'gone' then
  return redis.call('HDEL', KEYS[1], router) == 1 and tell('"isGone":true') or 0
end

local known = redis.call('HGET', KEYS[1], router)
local entry = known and cjson.decode(known) or { seenMs = now }
local is_news = not known
if heard == 'held' then
  entry.heldMs = now
else
  local head = redis.call('HMGET', KEYS[2], 'epoch', 'revision')
  -- Nobody has ever watched this event.
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
return is_news and tell(fields) or 0
