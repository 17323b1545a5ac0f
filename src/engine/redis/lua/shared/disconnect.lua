-- Disconnects a user from an event. Including it writes nothing.
-- @include floor
-- @include queue
-- @include leases

-- Takes away all floors and all places in queues that a user has. Each floor goes to the next request that waits. If the user
-- is the broadcaster of the standing pause, the pause continues without a broadcaster. The log gets one entry for all channels
-- that this cuts.
local function take_floors(actor, user)
  local pause = read_pause()
  local is_broadcaster = pause and type(pause.broadcaster) == 'table' and pause.broadcaster.userId == user
  if is_broadcaster then
    pause.broadcaster = nil
    -- The stored value contains the broadcaster, so it must not be used any more.
    hold = nil
  end
  leave_queues(user)
  local floors = {}
  for_each_speaker(function(channel, key, raw)
    -- Only a value that contains the user's id or an escape can belong to the user. Other values need no parsing.
    if not raw or not (string.find(raw, user, 1, true) or string.find(raw, '\\', 1, true)) then return end
    local speaker = decode_speaker(raw, key)
    if speaker and speaker.userId == user then floors[#floors + 1] = { channel, key, raw, speaker } end
  end)
  table.sort(floors, function(a, b) return a[1] < b[1] end)
  local cut_channels, cut_values, states = {}, {}, {}
  for _, floor in ipairs(floors) do
    local channel, key, raw, speaker = unpack(floor)
    -- Announces the end of an earlier lease, if no script has announced it yet.
    read_speaker(channel, key)
    forget_lease(channel)
    if is_broadcaster then
      cut_channels[#cut_channels + 1] = channel
      cut_values[#cut_values + 1] = raw
    else
      append_floor_revoked(actor, channel, speaker, 'noPermission', '')
    end
    if pause then
      states[#states + 1] = { channel, hold_channel(key, pause) }
    else
      redis.call('DEL', key)
      if not serve_queue(channel, key) then states[#states + 1] = { channel, nil } end
    end
  end
  if is_broadcaster then
    -- cjson itself writes an empty list as an object.
    local pause_json = string.gsub(cjson.encode(pause), '"exemptUserIds":{}', '"exemptUserIds":[]')
    redis.call('SET', PAUSE, pause_json, 'PXAT', integer(pause.expiresAtMs))
    append(actor, '"kind":"speakersPaused","pause":' .. pause_json .. ',"cut":', speakers_json(cut_channels, cut_values))
  end
  publish_states(states)
end

-- Takes every floor of a user away, and makes routers close all sockets of the user. A router that is not connected now gets
-- the stored time in a later snapshot, and then closes the sockets that are older.
local function disconnect_user(actor, user, reason)
  take_floors(actor, user)
  redis.call('HSET', context.disconnected, user, integer(now))
  append(actor, '"kind":"userDisconnected","userId":' .. cjson.encode(user) .. ',"reason":' .. cjson.encode(reason))
end
