-- Needs log.lua, floor.lua, queue.lua and leases.lua.

-- Takes every place of a user in a queue away, and every floor: the next who waits has it. Of a pause whose broadcaster
-- he is the latch stays, without a broadcaster; that is one entry, whatever it cuts.
local function take_floors(actor, user)
  local pause = read_pause()
  local is_broadcaster = pause and type(pause.broadcaster) == 'table' and pause.broadcaster.userId == user
  if is_broadcaster then
    pause.broadcaster = nil
    -- What this script has put on channels until now was his.
    hold = nil
  end
  leave_queues(user)
  local floors = {}
  for_each_speaker(function(channel, key, raw)
    -- Few values have to be read: in those of others his id does not occur, unless something is escaped.
    if not raw or not (string.find(raw, user, 1, true) or string.find(raw, '\\', 1, true)) then return end
    local speaker = decode_speaker(raw, key)
    if speaker and speaker.userId == user then floors[#floors + 1] = { channel, key, raw, speaker } end
  end)
  table.sort(floors, function(a, b) return a[1] < b[1] end)
  local cut_channels, cut_values, states = {}, {}, {}
  for _, floor in ipairs(floors) do
    local channel, key, raw, speaker = unpack(floor)
    -- The end of an earlier lease, if one is still to be told.
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
    -- cjson writes an empty list as an object.
    local pause_json = string.gsub(cjson.encode(pause), '"exemptUserIds":{}', '"exemptUserIds":[]')
    redis.call('SET', PAUSE, pause_json, 'PXAT', integer(pause.expiresAtMs))
    append(actor, '"kind":"speakersPaused","pause":' .. pause_json .. ',"cut":', speakers_json(cut_channels, cut_values))
  end
  publish_states(states)
end

-- Takes every floor of a user away, and has routers drop all his sockets: those that hear of it, and by the time that is
-- kept those that come back with an old picture.
local function disconnect_user(actor, user, reason)
  take_floors(actor, user)
  redis.call('HSET', context.disconnected, user, integer(now))
  append(actor, '"kind":"userDisconnected","userId":' .. cjson.encode(user) .. ',"reason":' .. cjson.encode(reason))
end
