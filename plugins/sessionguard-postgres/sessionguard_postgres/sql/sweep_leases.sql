-- Remove rows of leases that have said nothing for long.
-- $1 rows
delete from sessionguard_leases
where name in (
    select name from sessionguard_leases
    where kept_until < floor(extract(epoch from clock_timestamp()) * 1000)::bigint
    limit $1
    for update skip locked
)
