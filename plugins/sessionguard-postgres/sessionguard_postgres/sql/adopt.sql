-- Write the row a conversation has in another store unless it has another one here; always return the row that stands.
-- It is written as it is when the key is free, and over the very row the caller saw; a row with its id takes the later
-- use of the two; otherwise all stays as it is, and so does a row that we could not have written.
-- $1 key, $2 to $4 session_id, session_started_at and updated_at of the row, $5 and $6 session_id and updated_at of the
-- observed row or null, $7 synchronous_commit or null
insert into sessionguard_sessions as standing (key, session_id, session_started_at, updated_at)
select $1::bytea, $2::text, $3::bigint, $4::bigint
from (
    -- For this transaction alone, as in a reservation.
    select case when current_setting('synchronous_commit') not in (coalesce($7::text, 'on'), coalesce($7, 'remote_apply'))
        then set_config('synchronous_commit', coalesce($7, 'on'), true) end as durable
) as settings
on conflict (key) do update
set (session_id, session_started_at, updated_at) = (
    select
        case when verdict.goes then excluded.session_id else standing.session_id end,
        case when verdict.goes then excluded.session_started_at else standing.session_started_at end,
        case when verdict.goes or verdict.was_used then excluded.updated_at else standing.updated_at end
    from (
        select
            verdict.is_ours and standing.session_id <> $2 and standing.session_id = $5::text
                and standing.updated_at between 0 and $6::bigint as goes,
            verdict.is_ours and standing.session_id = $2
                and standing.updated_at between 0 and excluded.updated_at as was_used
        from (select standing.session_started_at between 0 and 9007199254740992 as is_ours) as verdict
    ) as verdict
)
returning session_id, session_started_at, updated_at
