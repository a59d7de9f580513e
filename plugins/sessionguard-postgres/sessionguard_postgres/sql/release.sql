-- Give back the lease of an owner, or its place in the queue, and call those who need not wait any longer: who is next,
-- and all of them when the name is settled.
-- $1 name, $2 owner, $3 for how long the name is settled, 0 for not at all, $4 how long the row is kept at least
with clock as materialized (
    select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now
),
found as materialized (
    select
        standing.name,
        clock.now,
        coalesce(standing.owner = $2::text, false) and standing.expires_at > clock.now as is_held,
        coalesce(standing.owner <> $2, false) and standing.expires_at > clock.now as is_anothers
    from sessionguard_leases as standing
    cross join clock
    where standing.name = $1
    for update of standing
),
changed as (
    update sessionguard_leases as standing
    set
        owner = nullif(standing.owner, $2),
        settled_until = case when found.is_held and $3::bigint > 0
            then greatest(standing.settled_until, found.now + $3) else standing.settled_until end,
        queue = standing.queue - $2,
        kept_until = greatest(standing.kept_until, found.now + greatest($3, $4::bigint))
    from found
    where standing.name = found.name
    returning found.is_held, found.is_anothers, found.now, standing.settled_until > found.now as is_settled, standing.queue
),
waiting as (
    select
        place.key as owner,
        changed.is_settled or row_number() over (order by (place.value ->> 0)::bigint, place.key collate "C") = 1 as goes
    from changed
    cross join lateral jsonb_each(changed.queue) as place
    where not changed.is_anothers and (place.value ->> 1)::bigint > changed.now
)
select is_held, (select count(pg_notify('sessionguard_leases', waiting.owner)) from waiting where waiting.goes) as called
from changed
