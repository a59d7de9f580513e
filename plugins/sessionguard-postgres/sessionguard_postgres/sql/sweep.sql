-- Look at the next rows in key order, remove those nobody has used for too long, and say where to go on.
-- A row that somebody holds is left to the next round; what we could not have written stays.
-- $1 key behind which to look, $2 rows, $3 milliseconds without use
with page as materialized (
    select key from sessionguard_sessions where key > $1 order by key limit $2
),
clock as materialized (
    select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now
),
idle as (
    select standing.key
    from sessionguard_sessions as standing
    join page on standing.key = page.key
    cross join clock
    where standing.updated_at between 0 and clock.now - $3::bigint - 1
        and standing.session_started_at between 0 and 9007199254740992
        and standing.session_id ~ '^[!-~]+$' and length(standing.session_id) <= 256
    for update of standing skip locked
),
removed as (
    delete from sessionguard_sessions as standing
    using idle
    where standing.key = idle.key
)
select key as last from page order by key desc limit 1
