-- Our tables, version 1. One transaction; whoever else is at it waits, and finds them there.
select pg_advisory_xact_lock(7305804402484371303);

create table if not exists sessionguard_sessions (
    key bytea primary key,
    session_id text collate "C" not null check (session_id ~ '^[!-~]+$' and length(session_id) <= 256),
    session_started_at bigint not null check (session_started_at between 0 and 9007199254740992),
    updated_at bigint not null check (updated_at between 0 and 9007199254740992)
) with (fillfactor = 85);

create table if not exists sessionguard_schema (version integer primary key);

insert into sessionguard_schema select 1 where not exists (select from sessionguard_schema);
