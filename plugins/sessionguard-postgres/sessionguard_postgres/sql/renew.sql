-- Let the lease of an owner last longer, unless it is another's or was forgotten.
-- $1 name, $2 owner, $3 how long it lasts from now, $4 how long the row is kept at least
update sessionguard_leases
set expires_at = clock.now + $3::bigint, kept_until = greatest(kept_until, clock.now + greatest($3, $4::bigint))
from (select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now) as clock
where name = $1 and owner = $2
returning fencing_number, granted_at, expires_at
