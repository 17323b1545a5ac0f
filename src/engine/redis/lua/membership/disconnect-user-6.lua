-- Takes a user's floors away and makes every router close all sockets of the user in the event, as one step.
--
-- KEYS, ARGV[1]: see shared/base.lua
-- ARGV[2] user
-- ARGV[3] reason
-- ARGV[4] actor
-- Returns { epoch, revision, number of Redis replicas }.
-- @include disconnect
begin_epoch_if_lost()
begin_epoch_if_log_is_ahead()
end_expired_pause()
disconnect_user(ARGV[4], ARGV[2], ARGV[3])
return answer({ epoch, revision, replica_count() })
