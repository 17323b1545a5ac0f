-- Raises the watermark of the ingest: the ticket before which every published update has been applied. If the watermark is
-- missing, this does not create it, because updates that were applied may be lost too.
--
-- KEYS[1] hash of id and generation. The generation is the watermark. A watermark that is created after a loss gets another id
-- ARGV[1] the ticket before which the caller has applied every update
-- ARGV[2] the ticket at which the caller's unbroken subscription began. The caller may have missed updates before it, so a
--         watermark below it stays unchanged
-- ARGV[3] after a reconcile: the id of the watermark when the reconcile began. It replaces ARGV[2]: the reconcile covers all
--         earlier updates, so the watermark is raised if it still has this id. Empty without a reconcile
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
