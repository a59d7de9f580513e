"""Opens connections, and refuses those that lead to a server which cannot keep the promise."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import asyncpg

from sessionguard import ConfigurationError, Diagnosis, StoreUnavailable, Verdict
from sessionguard_postgres import statements
from sessionguard_postgres.faults import INIT
from sessionguard_postgres.url import PostgresUrl

if TYPE_CHECKING:
    from sessionguard_postgres.job import Connection

OLDEST = 130000
SCHEMA_VERSION = 1
SESSION = {
    "default_transaction_isolation": "read committed",
    "statement_timeout": "700ms",
}
"""Settings of our sessions; a pooler could not keep them from others. The server is to give up before we do."""

WEAK = ("off", "local", "remote_write")


class Connector:
    """Opens connections to the server of a URL; `diagnoses` are what it found on its way.

    With `needs_leases` it refuses a database without the table for them.
    """

    def __init__(self, url: PostgresUrl) -> None:
        self.location = url.location
        self.diagnoses: tuple[Diagnosis, ...] = ()
        self.needs_leases = False
        self._url = url
        self._arguments: dict[str, Any] = {
            "timeout": url.connect_timeout,
            "statement_cache_size": 0 if url.pooler else 100,
            "max_cached_statement_lifetime": 0,
            "server_settings": {} if url.pooler else dict(SESSION),
        }
        if url.synchronous_commit and not url.pooler:
            # Each reservation sees to it; where the session has it already, that costs nothing.
            self._arguments["server_settings"]["synchronous_commit"] = url.synchronous_commit
        if "target_session_attrs=" not in url.dsn:
            self._arguments["target_session_attrs"] = "primary"
        if "application_name=" not in url.dsn:
            self._arguments["server_settings"]["application_name"] = "sessionguard"

    async def connect(self) -> Connection:
        """Return a connection to a primary that has our tables; raises ConfigurationError, or as the driver does."""
        connection = await self._open()
        try:
            with at_most(self._url.connect_timeout, connection):
                await self._check_server(connection)
                await self._check_schema(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def prepare(self) -> None:
        """Make our tables where they are missing; raises as `connect` does."""
        connection = await self._open()
        try:
            await self._check_server(connection)
            await connection.execute(statements.SCHEMA)
            await self._check_schema(connection)
        finally:
            connection.terminate()

    async def _open(self) -> Connection:
        try:
            return await asyncpg.connect(self._url.dsn, **self._arguments)
        except asyncpg.exceptions.TargetServerAttributeNotMatched as error:
            raise self._no_primary() from error
        except ValueError as error:
            raise ConfigurationError(f"store: {self.location}: {error}; correct the URL") from error

    async def _check_server(self, connection: Connection) -> None:
        (server,) = await connection.fetch(statements.SERVER)
        if server["read_only"]:
            raise self._no_primary()
        if server["version"] < OLDEST:
            raise ConfigurationError(f"store: {self.location} is older than Postgres 13, which is the oldest we know")
        is_complete = server["prepared"] and (server["has_leases"] or not self.needs_leases)
        if self._url.create_schema and not is_complete:
            await connection.execute(statements.SCHEMA)
        self.diagnoses = tuple(self._found(server))

    async def _check_schema(self, connection: Connection) -> None:
        try:
            (schema,) = await connection.fetch(statements.VERSION)
        except asyncpg.UndefinedTableError as error:
            raise ConfigurationError(
                f"store: {self.location} has no tables of ours. Is it the right database? If so, {INIT}"
            ) from error
        if schema["version"] != SCHEMA_VERSION:
            raise ConfigurationError(
                f"store: the tables in {self.location} are of version {schema['version']}, this release of"
                f" sessionguard-postgres knows version {SCHEMA_VERSION}; install the release that made them"
            )

        if self.needs_leases and not schema["has_leases"]:
            raise ConfigurationError(
                f"store: {self.location} has no table for leases, which turns need; an earlier release has made the"
                f" others. {INIT[0].upper()}{INIT[1:]}"
            )

    def _no_primary(self) -> Exception:
        if "," in self._url.dsn:
            return StoreUnavailable("No host of the session store is a primary; try again.")
        return ConfigurationError(
            f"store: {self.location} is a standby or read-only; name the primary, or all hosts, separated by commas"
        )

    def _found(self, server: asyncpg.Record) -> Iterator[Diagnosis]:
        yield Diagnosis("recovery", Verdict.GREEN, "the server is a primary, and takes writes")
        yield _fsync(server["fsync"])
        # Reservations raise what the session has, unless the URL asks for less.
        yield _durability(self._url.synchronous_commit or "on")


def _fsync(on: bool) -> Diagnosis:
    if on:
        return Diagnosis("fsync", Verdict.GREEN, "fsync is on")
    return Diagnosis(
        "fsync",
        Verdict.YELLOW,
        "the server runs with fsync=off: a crash of its host can lose conversations, or all of them",
        "set fsync = on",
    )


def _durability(level: str) -> Diagnosis:
    if level not in WEAK:
        return Diagnosis("durability", Verdict.GREEN, f"reservations are made with synchronous_commit={level}")
    return Diagnosis(
        "durability",
        Verdict.YELLOW,
        f"synchronous_commit={level}: a crash or a failover can lose new conversations",
        "take synchronous_commit out of the URL",
    )


@contextlib.contextmanager
def at_most(seconds: float, connection: Connection) -> Iterator[None]:
    """End the connection, and with it whatever waits for it, if the block takes longer."""
    alarm = asyncio.get_running_loop().call_later(seconds, connection.terminate)
    try:
        yield
    finally:
        alarm.cancel()
