-- Write a row for the candidate unless the conversation has one; always return the row that stands.
-- It is written when the key is free, and over the very row the caller saw as stale; otherwise all stays as it is,
-- and so does a row that we could not have written.
-- $1 key, $2 candidate, $3 and $4 session_id and updated_at of the observed row or null, $5 synchronous_commit or null
insert into sessionguard_sessions as standing (key, session_id, session_started_at, updated_at)
select $1::bytea, $2::text, clock.now, clock.now
from (
    select
        floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now,
        -- For this transaction alone, so that it holds behind a pooler, and whatever the role or the database say.
        case when current_setting('synchronous_commit') not in (coalesce($5::text, 'on'), coalesce($5, 'remote_apply'))
            then set_config('synchronous_commit', coalesce($5, 'on'), true) end as durable
) as clock
on conflict (key) do update
set
    session_id = case when standing.session_id = $3::text and standing.session_id <> $2
        and standing.updated_at between 0 and $4::bigint and standing.session_started_at between 0 and 9007199254740992
        then excluded.session_id else standing.session_id end,
    session_started_at = case when standing.session_id = $3::text and standing.session_id <> $2
        and standing.updated_at between 0 and $4::bigint and standing.session_started_at between 0 and 9007199254740992
        then excluded.session_started_at else standing.session_started_at end,
    updated_at = case when standing.session_id = $3::text and standing.session_id <> $2
        and standing.updated_at between 0 and $4::bigint and standing.session_started_at between 0 and 9007199254740992
        then excluded.updated_at else standing.updated_at end
returning session_id, session_started_at, updated_at,
    floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now
