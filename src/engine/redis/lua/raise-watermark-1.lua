-- Raises the watermark of the ingest: every update that was published before that ticket has been applied.
--
-- KEYS[1] applied: the watermark, a generation
-- ARGV[1] the ticket at which the caller's unbroken subscription began: below it the caller vouches for nothing, so the
--         watermark is left alone where it is lower; 0 after a reconcile, which vouches for all before
-- ARGV[2] the ticket before which the caller has applied everything
-- Returns the watermark as it now is; 0 if there is none.
local applied = tonumber(redis.call('GET', KEYS[1])) or 0
local from, to = tonumber(ARGV[1]), tonumber(ARGV[2])
if applied >= from and to > applied then
  applied = to
  redis.call('SET', KEYS[1], string.format('%.0f', applied))
end
return applied
