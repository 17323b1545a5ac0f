-- Which updates of the control plane have been applied to an event by whichever replica, without a gap. Needs
-- membership.lua. The meta hash has it: appliedFrom, a ticket, and appliedThrough, a position. All that was published
-- between the two for this event has been applied. It is noted only: each replica compares each update all the same.

-- A replica that has missed nothing since the ticket `from` has applied everything up to the position `last`.
local function note_applied(from, last)
  local span = redis.call('HMGET', META, 'appliedFrom', 'appliedThrough')
  local last_generation = parse_position(last)
  if span[1] and from <= parse_position(span[2]) then
    local known_from = tonumber(span[1])
    -- What lies between the two has been applied by neither.
    if last_generation < known_from then return end
    from = math.min(from, known_from)
    if not is_later(last, span[2]) then last = span[2] end
  end
  redis.call('HSET', META, 'appliedFrom', integer(from), 'appliedThrough', last)
end
