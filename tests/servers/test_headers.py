"""The table of headers, on every server: the same canonical key, or a refusal."""

from __future__ import annotations

from pathlib import Path

from live import LiveServer
from servers import http1, http2
from servers.header_cases import CASES, HTTP2, NO_KEY, REFUSED

from sessionguard.stores.disk.store import DiskStore


def test_there_are_enough_cases() -> None:
    """Of all three decisions."""
    decisions = [case.decision for case in CASES.values()]

    assert 20 <= decisions.count(REFUSED)
    assert 4 <= decisions.count(NO_KEY)
    assert 20 <= len(decisions) - decisions.count(REFUSED) - decisions.count(NO_KEY)


async def test_a_header_gives_the_same_decision_on_every_server(protocol: str, server: LiveServer, store: Path) -> None:
    """A server may refuse a header that another lets through to the guard; it never makes another key of it.

    Only the keys of the table have rows: refusals and requests without a key have left none.
    """
    decide = http2.decide if protocol in HTTP2 else http1.decide
    cases = {name: case for name, case in CASES.items() if case.in_http2 or protocol not in HTTP2}
    expected = {name: REFUSED if protocol in case.refused_by else case.decision for name, case in cases.items()}
    decisions = {name: decide(server.port, case.lines) for name, case in cases.items()}
    disk = DiskStore(store)
    rows = {key async for key, _ in disk.scan("default//agent:") if "race" not in key}
    await disk.aclose()

    assert expected == decisions
    assert {f"default//{key}" for key in {*decisions.values()} - {REFUSED, NO_KEY}} == rows
