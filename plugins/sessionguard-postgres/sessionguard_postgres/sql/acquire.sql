-- Give a name to an owner if nobody has it and nobody who waits has waited longer; always return the row that stands.
-- The queue is an object: for each owner that waits, since when, and until when that counts.
-- $1 name, $2 owner, $3 how long the lease lasts, $4 how long the owner has waited, null if it does not wait, $5 how long
-- a place in the queue counts, $6 how long the row is kept at least, $7 synchronous_commit or null
insert into sessionguard_leases as standing
    (name, owner, fencing_number, granted_at, expires_at, settled_until, queue, kept_until)
select
    $1::bytea, $2::text, clock.now, clock.now, clock.now + $3::bigint, 0, '{}', clock.now + greatest($3, $6::bigint)
from (
    select
        floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now,
        -- For this transaction alone, as in a reservation: a lease that is forgotten is one that two have.
        case when current_setting('synchronous_commit') not in (coalesce($7::text, 'on'), coalesce($7, 'remote_apply'))
            then set_config('synchronous_commit', coalesce($7, 'on'), true) end as durable
) as clock
on conflict (name) do update
set (owner, fencing_number, granted_at, expires_at, queue, kept_until) = (
    select
        case when verdict.goes then $2 when seen.is_taken then standing.owner end,
        case when verdict.is_new then greatest(standing.fencing_number + 1, seen.now) else standing.fencing_number end,
        case when verdict.is_new then seen.now else standing.granted_at end,
        case when verdict.goes then seen.now + $3 else standing.expires_at end,
        case
            when verdict.goes then seen.waiting - $2
            when seen.is_settled or $4 is null then seen.waiting
            else seen.waiting || jsonb_build_object($2, jsonb_build_array(mine.since, seen.now + $5::bigint))
        end,
        greatest(standing.kept_until, seen.now + greatest($3, $6))
    from (
        select
            clock.now,
            standing.owner is not null and standing.expires_at > clock.now as is_taken,
            standing.settled_until > clock.now as is_settled,
            (
                select coalesce(jsonb_object_agg(place.key, place.value), '{}')
                from jsonb_each(standing.queue) as place
                where (place.value ->> 1)::bigint > clock.now
            ) as waiting
        from (select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now) as clock
    ) as seen
    cross join lateral (
        select
            seen.is_taken and standing.owner = $2 as has_it,
            least(seen.now - coalesce($4::bigint, 0), (seen.waiting -> $2 ->> 0)::bigint) as since
    ) as mine
    cross join lateral (
        select not exists (
            select from jsonb_each(seen.waiting) as place
            where place.key <> $2
                and ((place.value ->> 0)::bigint, place.key collate "C") < (mine.since, $2 collate "C")
        ) as is_next
    ) as turn
    cross join lateral (
        select
            mine.has_it or (turn.is_next and not seen.is_taken and not seen.is_settled) as goes,
            turn.is_next and not seen.is_taken and not seen.is_settled as is_new
    ) as verdict
)
returning owner, fencing_number, granted_at, expires_at, settled_until, queue::text as queue,
    floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now
