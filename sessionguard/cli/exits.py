"""How commands end: with a code that scripts can tell apart, and one line that says what to do."""

from __future__ import annotations

import contextlib
import enum
import logging
from collections.abc import Iterator

import typer

from sessionguard.errors import ConfigurationError, Refusal, SessionGuardError, StoreRetired, StoreUnavailable


class Exit(enum.IntEnum):
    """The exit codes; 75 is the one of sysexits.h for "try again later"."""

    OK = 0
    FINDING = 1
    USAGE = 2
    LATER = 75


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn every error of ours into its message and its exit code."""
    # What stores and guards log is for workers; a command says itself what it does.
    log, silence = logging.getLogger("sessionguard"), logging.NullHandler()
    log.addHandler(silence)
    try:
        yield
    except (ConfigurationError, StoreRetired) as error:
        raise _exit(error, Exit.USAGE) from error
    except StoreUnavailable as error:
        raise _exit(error, Exit.LATER) from error
    except SessionGuardError as error:
        # What a client would be told is wrong with its request is wrong with the call.
        wrong = isinstance(error, Refusal) and error.status < 500
        raise _exit(error, Exit.USAGE if wrong else Exit.FINDING) from error
    finally:
        log.removeHandler(silence)


def _exit(error: SessionGuardError, code: Exit) -> typer.Exit:
    # What clients are not told, operators are.
    cause = f" ({error.__cause__})" if isinstance(error, StoreUnavailable) and error.__cause__ else ""
    typer.echo(f"{error}{cause}", err=True)
    return typer.Exit(code)
