-- The version of our tables, and whether there is one for leases, which came later.
select max(version) as version, to_regclass('sessionguard_leases') is not null as has_leases from sessionguard_schema
