"""What a scrape shows, of the registry of this process and of several workers."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sessionguard_prometheus import PrometheusPlugin
from sessionguard_turns import TurnsPlugin

from sessionguard import SessionGuard, SessionStore, StoreUnavailable
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import AppProbe, Exchange

pytestmark = pytest.mark.lowest

HERE = Path(__file__).parent
README = (HERE.parent / "README.md").read_text()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def guarded(registry: CollectorRegistry, store: str | SessionStore = "memory:", **options: Any) -> SessionGuard:
    return SessionGuard(AppProbe(), store=store, plugins=[PrometheusPlugin(registry)], **options)


def keyed(guard: Any, key: str = "my-chat") -> Exchange:
    return Exchange(guard, [(b"x-openclaw-session-key", key.encode())])


def samples(text: str, *names: str) -> dict[tuple[str, ...], float]:
    """Values by sample name and labels, that of the store first, of the metrics of these names."""
    return {
        (
            sample.name,
            sample.labels["store"],
            *(sample.labels[name] for name in sorted(sample.labels) if name != "store"),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in names
    }


def scraped(registry: CollectorRegistry, *names: str) -> dict[tuple[str, ...], float]:
    return samples(generate_latest(registry).decode(), *names)


async def test_requests_are_counted_by_store_and_origin(registry: CollectorRegistry) -> None:
    guard = guarded(registry)
    for _ in range(3):
        await keyed(guard).run()

    assert scraped(registry, "sessionguard_resolutions_total") == {
        ("sessionguard_resolutions_total", "memory", "new"): 1,
        ("sessionguard_resolutions_total", "memory", "existing"): 2,
    }


async def test_conversations_make_no_series_of_their_own(registry: CollectorRegistry) -> None:
    """A hundred of them make as many as one."""
    guard = guarded(registry)
    await keyed(guard).run()
    before = generate_latest(registry).count(b"\n")
    for number in range(100):
        await keyed(guard, f"chat-{number}").run()

    assert generate_latest(registry).count(b"\n") == before
    assert b"chat-" not in generate_latest(registry)


async def test_refusals_are_counted_by_their_code(registry: CollectorRegistry) -> None:
    await keyed(guarded(registry), "cron:nightly").run()

    assert scraped(registry, "sessionguard_refusals_total") == {
        ("sessionguard_refusals_total", "memory", "reserved_session_key"): 1
    }


async def test_calls_are_timed_by_their_verb(registry: CollectorRegistry) -> None:
    await keyed(guarded(registry)).run()
    name = "sessionguard_store_seconds_count"

    assert scraped(registry, name) == {(name, "memory", "get"): 1, (name, "memory", "reserve"): 1}


async def test_a_store_that_does_not_answer_is_an_error_with_its_code(registry: CollectorRegistry) -> None:
    class Down(MemoryStore):
        async def get(self, key: str) -> Any:
            raise StoreUnavailable("down")

    refused = await keyed(guarded(registry, Down())).run()
    name = "sessionguard_store_errors_total"

    assert refused.status == 503
    assert scraped(registry, name) == {(name, "object", "session_store_unavailable", "get"): 1}


async def test_a_client_that_leaves_is_no_error_of_the_store(registry: CollectorRegistry) -> None:
    class Waiting(MemoryStore):
        asked = asyncio.Event()

        async def get(self, key: str) -> Any:
            self.asked.set()
            await asyncio.Event().wait()

    request = asyncio.create_task(keyed(guarded(registry, Waiting())).run())
    await Waiting.asked.wait()
    request.cancel()
    await asyncio.wait([request])

    assert scraped(registry, "sessionguard_store_seconds_count") == {
        ("sessionguard_store_seconds_count", "object", "get"): 1
    }
    assert scraped(registry, "sessionguard_store_errors_total") == {}


async def test_waits_for_a_turn_are_timed_by_how_they_ended(registry: CollectorRegistry) -> None:
    """By the turn gate itself: one turn that has to wait for another."""
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def agent(scope: Any, receive: Any, send: Any) -> None:
        entered.set()
        await go_on.wait()
        await AppProbe()(scope, receive, send)

    gate = TurnsPlugin(mode="wait")
    guard = SessionGuard(agent, store="memory:", plugins=[PrometheusPlugin(registry), gate])
    first = asyncio.create_task(keyed(guard).run())
    await entered.wait()
    second = asyncio.create_task(keyed(guard).run())
    await asyncio.sleep(0.15)  # The time that is measured.
    go_on.set()
    await asyncio.gather(first, second)
    buckets = scraped(registry, "sessionguard_turn_wait_seconds_bucket", "sessionguard_turn_wait_seconds_count")

    assert buckets[("sessionguard_turn_wait_seconds_count", "memory", "admitted")] == 2
    assert buckets[("sessionguard_turn_wait_seconds_bucket", "memory", "0.1", "admitted")] <= 1


async def test_several_guards_of_a_process_count_together(registry: CollectorRegistry) -> None:
    """As an application does that guards two of its parts."""
    for _ in range(2):
        await keyed(guarded(registry)).run()

    assert scraped(registry, "sessionguard_resolutions_total") == {
        ("sessionguard_resolutions_total", "memory", "new"): 2
    }


async def test_a_password_in_the_url_of_the_store_is_not_shown(registry: CollectorRegistry, tmp_path: Path) -> None:
    await keyed(guarded(registry, f"disk://{tmp_path}/secret")).run()

    assert b"secret" not in generate_latest(registry)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The block of the README behind two workers, with the plugin as installed."""
    [program] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    program = program.replace("metrics = make_asgi_app()", "metrics = make_asgi_app(registry)").replace(
        'store="memory:"', f'store="disk://{tmp_path}/sessions"'
    )
    collected = "from prometheus_client import CollectorRegistry, multiprocess\nregistry = CollectorRegistry()\n"
    (tmp_path / "mymodule.py").write_text(f"{collected}multiprocess.MultiProcessCollector(registry)\n{program}")
    (tmp_path / "metrics").mkdir()
    env = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}
    with uvicorn("mymodule:app", tmp_path, "--workers", "2", "--lifespan", "off", env=env) as server:
        yield server.url


@pytest.mark.slow
def test_several_workers_are_scraped_as_one(served: str) -> None:
    """Forty requests on connections of their own, by whichever worker; the scrape knows all of them."""
    for _ in range(40):
        httpx.get(served, headers={"x-openclaw-session-key": "my-chat"}, timeout=30)
    text = httpx.get(f"{served}/metrics", timeout=30, follow_redirects=True).text

    found = samples(text, "sessionguard_resolutions_total")
    assert found[("sessionguard_resolutions_total", "disk", "new")] == 1
    assert sum(found.values()) == 40


def test_the_alerts_of_the_readme_are_about_metrics_there_are(registry: CollectorRegistry) -> None:
    """And about labels they have."""
    guarded(registry)
    known = {family.name for family in registry.collect()}
    alerts = README.partition("## Alerts")[2]
    named = set(re.findall(r"sessionguard_[a-z_]+", alerts))
    labels = set(re.findall(r"\{(\w+)=|by \((\w+)\)", alerts))

    assert {name.removesuffix("_total").removesuffix("_bucket") for name in named} <= known
    assert labels == {("code", ""), ("origin", ""), ("", "le")}


@pytest.mark.slow
def test_an_operator_watches_what_is_exposed(tmp_path: Path) -> None:
    """`sessionguard watch --metrics` understands all of them: requests, refusals, waits, and calls to the store."""
    (tmp_path / "watched.py").write_text(
        "from prometheus_client import make_asgi_app\n"
        "from sessionguard import SessionGuard\n"
        "from sessionguard.testing import AppProbe\n"
        "metrics = make_asgi_app()\n"
        f"guarded = SessionGuard(AppProbe(), store='disk://{tmp_path}/sessions')\n"
        "async def app(scope, receive, send):\n"
        "    await (metrics if scope.get('path') == '/metrics' else guarded)(scope, receive, send)\n"
    )
    command = [Path(sys.executable).with_name("sessionguard"), "watch", "--json", "--looks", "2", "--interval", "2"]
    env = {"SESSIONGUARD_TURNS_MODE": "wait"}
    with uvicorn("watched:app", tmp_path, app_dir=tmp_path, env=env) as server, httpx.Client(trust_env=False) as client:
        ask = functools.partial(client.get, server.url)
        ask(headers={"x-openclaw-session-key": "first"})
        options = ["--store", f"disk://{tmp_path}/sessions", "--metrics", f"{server.url}/metrics"]
        with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as watch:
            assert watch.stdout is not None
            watch.stdout.readline()
            ask(headers={"x-openclaw-session-key": "second"})
            ask(headers={"x-openclaw-session-key": "second"})
            ask(headers={"x-openclaw-session-key": "not,one"})
            rates = json.loads(watch.stdout.readline())["rates"]

    assert set(rates["resolutions"]) == {"new", "existing"}
    assert set(rates["refusals"]) == {"invalid_session_key"}
    assert set(rates["turn_wait_seconds"]) == {"admitted"}
    assert rates["store_seconds"]["reserve"]["mean_ms"] > 0
