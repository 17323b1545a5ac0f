-- Begins a new epoch if an older copy of the event's keys was restored. The sign of it: a replica has already delivered a
-- revision that the store does not have yet, or has with another entry. Without a new epoch, revisions would be used twice.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- ARGV[2] epoch that the replica has followed
-- ARGV[3] newest revision that the replica has delivered in that epoch
-- ARGV[4] time of the entry with this revision, ms; empty if the replica does not have the entry
-- Returns nothing.
-- @include log
begin_epoch_if_lost()
begin_epoch_if_log_is_ahead()
if epoch == ARGV[2] then
  local delivered = tonumber(ARGV[3])
  if revision < delivered then
    begin_epoch('store_behind')
  elseif ARGV[4] ~= '' then
    local time = entry_time(delivered)
    if time and time ~= ARGV[4] then begin_epoch('store_behind') end
  end
end
end_expired_pause()
return answer()
