-- Announces the end of a pause that has run out; including the log does it.
--
-- KEYS, ARGV[1]: see shared/log.lua
-- Returns the revision.
-- @include log
return revision
