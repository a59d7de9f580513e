-- Write a row for the candidate unless the conversation has one; always return the row that stands.
-- It is written when the key is free, and over the very row the caller saw as stale; otherwise all stays as it is,
-- and so does a row that we could not have written.
-- $1 key, $2 candidate, $3 and $4 session_id and updated_at of the observed row or null, $5 synchronous_commit or null
insert into sessionguard_sessions as standing (key, session_id, session_started_at, updated_at)
select $1::bytea, $2::text, clock.now, clock.now
from (
    select
        floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now,
        -- For this transaction alone, so that it holds behind a pooler and whatever the role or the database say.
        set_config('synchronous_commit', coalesce($5::text, case current_setting('synchronous_commit')
            when 'remote_apply' then 'remote_apply' else 'on' end), true) as durable
) as clock
on conflict (key) do update
set (session_id, session_started_at, updated_at) = (
    select chosen.session_id, chosen.session_started_at, chosen.updated_at
    from (values
        (true, excluded.session_id, excluded.session_started_at, excluded.updated_at),
        (false, standing.session_id, standing.session_started_at, standing.updated_at)
    ) as chosen (replaces, session_id, session_started_at, updated_at)
    where chosen.replaces = coalesce(
        standing.session_id <> $2 and standing.session_id = $3::text and standing.updated_at between 0 and $4::bigint
            and standing.session_started_at between 0 and 9007199254740992, false)
)
returning session_id, session_started_at, updated_at,
    floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now
