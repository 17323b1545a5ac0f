-- Raises the watermark of the ingest: the ticket before which every published update has been applied. Does not create a
-- missing watermark, because what was applied before may be lost together with it.
--
-- KEYS[1] hash of id and generation: the watermark is the generation; a watermark that was created after a loss has another id
-- ARGV[1] the ticket before which the caller has applied everything
-- ARGV[2] the ticket at which the caller's unbroken subscription began. The caller knows nothing of updates before it, so that
--         a watermark below it stays
-- ARGV[3] after a reconcile, in place of ARGV[2]: the id of the watermark when the reconcile began. The reconcile covers
--         everything before, so that the watermark is raised if it still has this id; else empty
-- Returns the present watermark; 0 if there is none.
local noted = redis.call('HMGET', KEYS[1], 'id', 'generation')
local id, generation = noted[1], tonumber(noted[2]) or 0
local is_covered
if ARGV[3] == '' then is_covered = id and generation >= tonumber(ARGV[2]) else is_covered = id == ARGV[3] end
local to = tonumber(ARGV[1])
if is_covered and to > generation then
  generation = to
  redis.call('HSET', KEYS[1], 'generation', string.format('%.0f', generation))
end
return generation
