-- Raises the watermark of the ingest: every update that was published before that ticket has been applied. One that is
-- gone is not made here, since what was applied before may be gone with it.
--
-- KEYS[1] applied: hash of id, which tells the watermark from another that was made after a loss, and generation, the
--         ticket
-- ARGV[1] the ticket before which the caller vouches that everything has been applied
-- ARGV[2] the ticket at which the caller's unbroken subscription began: below it the caller vouches for nothing, so that
--         the watermark is left alone where it is lower
-- ARGV[3] the id of the watermark when the caller began to reconcile, in place of ARGV[2]: it vouches for all before, if
--         this is still the same; else empty
-- Returns the watermark as it now is; 0 if there is none.
local noted = redis.call('HMGET', KEYS[1], 'id', 'generation')
local id, generation = noted[1], tonumber(noted[2]) or 0
local vouches
if ARGV[3] == '' then vouches = id and generation >= tonumber(ARGV[2]) else vouches = id == ARGV[3] end
local to = tonumber(ARGV[1])
if vouches and to > generation then
  generation = to
  redis.call('HSET', KEYS[1], 'generation', string.format('%.0f', generation))
end
return generation
