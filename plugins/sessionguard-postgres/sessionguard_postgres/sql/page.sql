-- One page of rows in the order of their keys' bytes, which is that of their text.
-- $1 first key, $2 key behind which to go on, $3 rows
select key, session_id, session_started_at, updated_at
from sessionguard_sessions
where key >= $1 and key > $2
order by key
limit $3
