"""What an error of the driver means: whether to try again, and what those who asked are told."""

from __future__ import annotations

import ssl

import asyncpg

from sessionguard import ConfigurationError, InvalidSessionKey, SessionGuardError, StoreUnavailable

INIT = "run `sessionguard store init --store URL` as a role that may create tables, or add ?create_schema=on to the URL"
MISTAKES: tuple[tuple[type[Exception], str], ...] = (
    (asyncpg.InvalidPasswordError, "check user, password and pg_hba.conf"),
    (asyncpg.InvalidAuthorizationSpecificationError, "check user, password and pg_hba.conf"),
    (asyncpg.InvalidCatalogNameError, "create the database, or correct its name"),
    (
        asyncpg.InsufficientPrivilegeError,
        "grant select, insert, update and delete on sessionguard_sessions and, for turns, on sessionguard_leases, and"
        " select on sessionguard_schema",
    ),
    (asyncpg.UndefinedTableError, INIT),
    (asyncpg.UndefinedColumnError, "sessionguard_sessions is not ours; put our tables into a schema of their own"),
    (asyncpg.ProtocolViolationError, "if a pooler such as pgbouncer stands in between, add ?pooler=on to the URL"),
    (asyncpg.DuplicatePreparedStatementError, "a pooler stands in between; add ?pooler=on to the URL"),
    (asyncpg.InvalidSQLStatementNameError, "a pooler stands in between; add ?pooler=on to the URL"),
    (ssl.SSLCertVerificationError, "correct sslrootcert, or the host's name"),
)
"""What will not mend itself, and the cure."""

LOST = (
    asyncpg.AdminShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.ReadOnlySQLTransactionError,
    OSError,
)
CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""The transaction did not happen because of another one, and may be tried again at once."""


def is_lost(error: Exception) -> bool:
    """Whether the connection is of no more use, while another one may be."""
    return isinstance(error, LOST)


def leaves_a_doubt(error: Exception) -> bool:
    """Whether it is unknown what state the connection is in; after an error the server reported, it is known."""
    return is_lost(error) or not isinstance(error, asyncpg.PostgresError)


def translated(error: Exception, location: str) -> SessionGuardError:
    """Return the error as the contract of a store has it."""
    if isinstance(error, SessionGuardError):
        return error
    if isinstance(error, asyncpg.ProgramLimitExceededError):
        return InvalidSessionKey("The session key is too long for this store; send a shorter one.")
    for kind, cure in MISTAKES:
        if isinstance(error, kind):
            return ConfigurationError(f"store: {location}: {error}; {cure}")
    return StoreUnavailable("The session store failed; try again.")
