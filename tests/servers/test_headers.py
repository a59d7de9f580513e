"""The table of headers, on every server: the same canonical key, or a refusal."""

from __future__ import annotations

from pathlib import Path

from live import LiveServer
from servers import http1, http2
from servers.header_cases import CASES, HTTP2, NO_KEY, REFUSED, Case

from sessionguard.stores.disk.store import DiskStore


def test_there_are_enough_cases() -> None:
    """Of all three decisions."""
    decisions = [case.decision for case in CASES.values()]

    assert 24 <= len(decisions)
    assert 20 <= decisions.count(REFUSED)
    assert 4 <= decisions.count(NO_KEY)
    assert 20 <= len(decisions) - decisions.count(REFUSED) - decisions.count(NO_KEY)


def test_a_header_gives_the_same_decision_on_every_server(protocol: str, server: LiveServer, case: Case) -> None:
    """A server may refuse what another lets through to the guard; it never makes another key of it."""
    decide = http1.decide if protocol not in HTTP2 else http2.decide

    assert (REFUSED if protocol in case.refused_by else case.decision) == decide(server.port, case.lines)


async def test_only_the_keys_of_the_table_have_rows(protocol: str, server: LiveServer, store: Path) -> None:
    """What was refused, and what was no key, has left nothing behind."""
    decide = http1.decide if protocol not in HTTP2 else http2.decide
    wanted = [case for case in CASES.values() if case.in_http2 or protocol not in HTTP2]
    decisions = {decide(server.port, case.lines) for case in wanted}
    disk = DiskStore(store)
    rows = {key async for key, _ in disk.scan("default//agent:") if "race" not in key}
    await disk.aclose()

    assert {f"default//{key}" for key in decisions - {REFUSED, NO_KEY}} == rows
