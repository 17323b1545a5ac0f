-- Ends leases that have expired. Including it writes nothing.
-- @include floor
-- @include queue

-- Settles a lease of the leases hash. The channel's speaker key has the value `raw` and the speaker `speaker`. If the key is
-- missing or has another speaker, the lease has expired or a router has deleted it. Then this announces the end of the lease and
-- gives a free floor to the next request that waits. Returns the present speaker, or nil.
local function settle_lease(channel, key, noted_lease, raw, speaker)
  local lease = cjson.decode(noted_lease)
  if speaker and speaker.leaseId == lease.leaseId then return speaker end
  local has_talked_out = lease.expiresAt >= lease.talkUntil and now >= lease.expiresAt
  append_floor_revoked('', channel, lease, has_talked_out and 'talkedTooLong' or 'other', '')
  forget_lease(channel)
  if raw then return speaker end
  local next_speaker = serve_queue(channel, key)
  if not next_speaker then publish_state(channel, nil) end
  return next_speaker
end

-- Returns the speaker of a channel, or nil. First announces the end of an expired lease, so that this precedes everything
-- else that the script announces, and gives a free floor to the next request that waits.
local function read_speaker(channel, key)
  local raw = redis.call('GET', key)
  local speaker = decode_speaker(raw, key)
  local noted_lease = redis.call('HGET', context.leases, channel)
  if noted_lease then return settle_lease(channel, key, noted_lease, raw, speaker) end
  if raw then return speaker end
  return serve_queue(channel, key)
end

-- Settles leases of the leases hash: channel, JSON, channel, JSON, ... Returns the leases that still run, with their
-- ends: channel, ms, channel, ms, ...
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

-- Settles all leases of the event.
local function settle_all_leases()
  return settle_leases(redis.call('HGETALL', context.leases))
end

-- Takes the floor of a channel from its holder: the standing pause holds it, else the next request that waits gets it, else
-- it is free. Publishes the new state.
local function free_floor(channel, key)
  forget_lease(channel)
  local pause = read_pause()
  if pause then
    publish_state(channel, hold_channel(key, pause))
    return
  end
  redis.call('DEL', key)
  if not serve_queue(channel, key) then publish_state(channel, nil) end
end
