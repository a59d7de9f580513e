-- The row of a conversation, and whether a standby tells it: its rows may be of the past.
-- $1 key
select session_id, session_started_at, updated_at, pg_is_in_recovery() as standby
from sessionguard_sessions
where key = $1
