-- Move updated_at of every row that still holds its id to so many milliseconds ago, never backwards.
-- Rows are locked in key order, so that two batches never wait for each other.
-- $1 keys, $2 session ids, $3 ages
with clock as materialized (
    select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now
),
due as (
    select standing.key, used.age
    from unnest($1::bytea[], $2::text[], $3::bigint[]) as used (key, session_id, age)
    join sessionguard_sessions as standing on standing.key = used.key and standing.session_id = used.session_id
    order by standing.key
    for no key update of standing
)
update sessionguard_sessions as standing
set updated_at = clock.now - due.age
from due, clock
where standing.key = due.key and standing.updated_at < clock.now - due.age
