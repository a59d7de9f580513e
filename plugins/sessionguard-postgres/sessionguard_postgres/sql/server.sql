-- What a connection has led to.
select
    pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only,
    current_setting('server_version_num')::integer as version,
    current_setting('fsync')::boolean as fsync,
    to_regclass('sessionguard_schema') is not null as prepared,
    to_regclass('sessionguard_leases') is not null as has_leases
