"""A Postgres store for sessionguard: one session id per session key across hosts."""

from sessionguard_postgres.plugin import PostgresPlugin
from sessionguard_postgres.store import PostgresStore

__all__ = ("PostgresPlugin", "PostgresStore")
