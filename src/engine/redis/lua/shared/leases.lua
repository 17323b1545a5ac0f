-- The ends of leases. Needs log.lua, floor.lua and queue.lua.

-- Settles a noted lease of a channel whose speaker key has that value and speaker. If the key is gone or somebody else's
-- by now, the lease has run out, or a router has deleted it: its end is announced, and the next who waits has the floor.
-- Returns who speaks, or nil.
local function settle_lease(channel, key, noted_lease, raw, speaker)
  local lease = cjson.decode(noted_lease)
  if speaker and speaker.leaseId == lease.leaseId then return speaker end
  forget_lease(channel)
  local has_talked_out = lease.expiresAt >= lease.talkUntil and now >= lease.expiresAt
  append_floor_revoked('', channel, lease, has_talked_out and 'talkedTooLong' or 'other', '')
  if raw then return speaker end
  local next_speaker = serve_queue(channel, key)
  if not next_speaker then publish_state(channel, nil) end
  return next_speaker
end

-- Who speaks on a channel, or nil. The end of a lease that nobody has announced is announced before, so that it is told
-- before whatever comes next; and whoever waits for a floor that is free has it.
local function read_speaker(channel, key)
  local raw = redis.call('GET', key)
  local speaker = decode_speaker(raw, key)
  local noted_lease = redis.call('HGET', context.leases, channel)
  if noted_lease then return settle_lease(channel, key, noted_lease, raw, speaker) end
  if raw then return speaker end
  return serve_queue(channel, key)
end

-- Settles each of these leases: channel, note, channel, note, ... Returns the leases that run then, and when they end:
-- channel, ms, channel, ms, ...
local function settle_leases(noted_leases)
  local keys = {}
  for index = 1, #noted_leases, 2 do keys[#keys + 1] = speaker_key(noted_leases[index]) end
  local running = {}
  for_each_value(keys, function(index, raw)
    local channel, key = noted_leases[2 * index - 1], keys[index]
    local speaker = settle_lease(channel, key, noted_leases[2 * index], raw, decode_speaker(raw, key))
    if speaker and speaker.leaseId then
      running[#running + 1] = channel
      running[#running + 1] = speaker.expiresAt
    end
  end)
  return running
end

local function settle_all_leases()
  return settle_leases(redis.call('HGETALL', context.leases))
end
