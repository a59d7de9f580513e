"""How new processes begin: a copy of a running one has its connections too, and nobody may use them twice."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

from sessionguard.cli.doctor.findings import green, yellow
from sessionguard.records import Diagnosis
from sessionguard.store import DiagnosableStore, SessionStore
from sessionguard.stores.embedded.store import EmbeddedStore

SUBJECT = "start of processes"


def check(store: SessionStore) -> Iterator[Diagnosis]:
    """Look at the way Python starts processes here, and whether the store is known to stand it."""
    method = multiprocessing.get_context().get_start_method()
    if method != "fork":
        yield green(SUBJECT, f"{method}: each process opens its own store")
    elif isinstance(store, (EmbeddedStore, DiagnosableStore)):
        yield green(SUBJECT, "fork: the store sees to it that parent and child use nothing in common")
    else:
        yield yellow(
            SUBJECT,
            "fork: whether this store may be used on both sides of one is for its maker to say",
            "start workers before the store is used, or with multiprocessing.set_start_method('spawn')",
        )
