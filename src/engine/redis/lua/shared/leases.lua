-- The ends of leases. Needs log.lua and floor.lua.

-- Announces the end of a noted lease whose speaker key, with that value and speaker, is gone or somebody else's by now:
-- it has run out, or a router has deleted it. Returns when it ends if it runs.
local function settle_lease(channel, noted_lease, raw, speaker)
  local lease = cjson.decode(noted_lease)
  if speaker and speaker.leaseId == lease.leaseId then return lease.expiresAt end
  forget_lease(channel)
  local has_talked_out = lease.expiresAt >= lease.talkUntil and now >= lease.expiresAt
  append_floor_revoked('', channel, lease, has_talked_out and 'talkedTooLong' or 'other', '')
  if not raw then publish_state(channel, nil) end
  return nil
end

-- Who speaks on a channel, or nil. The end of a lease that nobody has announced is announced before, so that it is told
-- before whatever comes next.
local function read_speaker(channel, key)
  local raw = redis.call('GET', key)
  local speaker = decode_speaker(raw, key)
  local noted_lease = redis.call('HGET', context.leases, channel)
  if noted_lease then settle_lease(channel, noted_lease, raw, speaker) end
  return speaker
end

-- Announces the end of each of these leases (channel, note, channel, note, ...) that has ended. Returns those that run,
-- and when they end: channel, ms, channel, ms, ...
local function settle_leases(noted_leases)
  local keys = {}
  for index = 1, #noted_leases, 2 do keys[#keys + 1] = speaker_key(noted_leases[index]) end
  local running = {}
  for_each_value(keys, function(index, raw)
    local channel = noted_leases[2 * index - 1]
    local speaker = decode_speaker(raw, keys[index])
    local expires_at = settle_lease(channel, noted_leases[2 * index], raw, speaker)
    if expires_at then
      running[#running + 1] = channel
      running[#running + 1] = expires_at
    end
  end)
  return running
end

local function settle_all_leases()
  return settle_leases(redis.call('HGETALL', context.leases))
end
