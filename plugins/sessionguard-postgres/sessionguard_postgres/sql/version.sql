-- The version of our tables.
select max(version) as version from sessionguard_schema
