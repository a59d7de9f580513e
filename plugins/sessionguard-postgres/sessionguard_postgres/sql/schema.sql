-- Our tables, version 1. One transaction; whoever else is at it waits, and finds them there.
-- There are no check constraints: Postgres compiles them anew for every row, a seventh of the price of a reservation,
-- and whoever reads a row looks at it with suspicion all the same.
select pg_advisory_xact_lock(7305804402484371303);

create table if not exists sessionguard_sessions (
    key bytea primary key,
    session_id text collate "C" not null,
    session_started_at bigint not null,
    updated_at bigint not null
) with (fillfactor = 85);

-- Came later, and does not count for the version: those who know nothing of leases need not know the table. What it holds
-- is over after a minute, so a release that needs another one gives it another name.
create table if not exists sessionguard_leases (
    name bytea primary key,
    owner text collate "C",
    fencing_number bigint not null,
    granted_at bigint not null,
    expires_at bigint not null,
    settled_until bigint not null,
    queue jsonb not null,
    kept_until bigint not null
) with (fillfactor = 50);

create table if not exists sessionguard_schema (version integer primary key);

insert into sessionguard_schema select 1 where not exists (select from sessionguard_schema);
