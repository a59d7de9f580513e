"""What the server in front does to the headers that name conversations, seen from outside.

Every request here carries a key that no guard accepts, so the application is not asked and no row is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import httpx

from sessionguard.cli.doctor.findings import green, red, yellow
from sessionguard.records import Diagnosis

SUBJECT = "headers"
SECONDS = 5.0
COMMA, EMPTY_SEGMENT = "doctor,a", "doctor::a"
SAYS_COMMA, SAYS_EMPTY, SAYS_TWICE = "comma", "empty segment", "more than once"


def check(url: str, header: str) -> Iterator[Diagnosis]:
    """Ask the server at `url`, behind which a guard looks at `header`."""
    try:
        with httpx.Client(timeout=SECONDS, trust_env=False) as client:
            yield from _check(client, url, header)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield red(SUBJECT, f"{url} does not answer: {error!r}", "name the address at which clients ask, with --url")


def _check(client: httpx.Client, url: str, header: str) -> Iterator[Diagnosis]:
    alone = _refusal(client, url, [(header, COMMA)])
    if SAYS_COMMA not in alone:
        yield red(
            SUBJECT,
            f"{header} does not reach a guard at {url}: {alone or 'the request was not refused'}",
            "let the proxies in front pass it, or put SessionGuard around the application; or is this path excluded?",
        )
        return
    yield green(SUBJECT, f"{header} arrives")
    twice = _refusal(client, url, [(header, COMMA), (header, EMPTY_SEGMENT)])
    if SAYS_EMPTY in twice:
        cure = "let the proxies in front pass both on, so that contradictions are refused"
        yield yellow(SUBJECT, f"of a repeated {header} the last one alone arrives", cure)
    else:
        yield green(SUBJECT, f"a repeated {header} {'arrives as it is' if SAYS_TWICE in twice else 'is joined'}")
    twin = header.replace("-", "_")
    folded = _refusal(client, url, [(header, COMMA), (twin, EMPTY_SEGMENT)])
    if SAYS_TWICE in folded or SAYS_EMPTY in folded:
        cure = "let the proxies in front drop names with '_'"
        yield yellow(SUBJECT, f"{twin} arrives as {header}, so a client can speak under both names", cure)


def _refusal(client: httpx.Client, url: str, headers: Sequence[tuple[str, str]]) -> str:
    """Return what the guard says is wrong with the key; where it says nothing, what came instead."""
    response = client.get(url, headers=[*headers, ("accept", "application/json")])
    try:
        error = response.json()["error"]
        return str(error["message"]) if error["code"] == "invalid_session_key" else f"the answer was {error['code']}"
    except (ValueError, KeyError, TypeError):
        return f"the answer was {response.status_code}"
