-- Remove the row if it holds the id and, given a limit, was last used before it.
-- $1 key, $2 session id, $3 limit or null
delete from sessionguard_sessions
where key = $1 and session_id = $2 and ($3::bigint is null or updated_at < $3)
returning true
