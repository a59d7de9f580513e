"""Requests for one conversation, at once and one after the other, bare and behind `sessionguard proxy`.

The bare gateway is only measured, for the table that is printed at the end.
"""

from __future__ import annotations

import pytest
from openclaw.trials import concurrent, established, follow_up, leaving, restarted, run

APIS = [(api, stream) for api in ("chat", "responses") for stream in (False, True)]
STREAMED = [(api, stream) for api, stream in APIS if stream]


def name_of(api, stream):
    return f"{api}, {'streamed' if stream else 'whole'}"


@pytest.fixture
def measure(table, repeats):
    async def run_trials(trial, shape, count, route, api, stream):
        name = "bare" if route.url == route.gateway.url else "proxy"
        outcomes = [await run(shape, count, route, api, stream=stream) for _ in range(repeats)]
        table.add(route.gateway.release, trial, name_of(api, stream), name, outcomes)
        return outcomes

    return run_trials


def assert_cured(outcomes):
    assert [outcome.sessions for outcome in outcomes] == [1] * len(outcomes)
    assert [failure for outcome in outcomes for failure in outcome.failures] == []
    assert [outcome.shown for outcome in outcomes] == [outcome.messages for outcome in outcomes]


@pytest.mark.parametrize(("api", "stream"), APIS)
@pytest.mark.parametrize("count", [2, 6])
async def test_requests_at_once(measure, bare, through_proxy, api, stream, count):
    await measure(f"{count} at once", concurrent, count, bare, api, stream)
    assert_cured(await measure(f"{count} at once", concurrent, count, through_proxy(1), api, stream))


@pytest.mark.parametrize(("api", "stream"), APIS)
async def test_two_workers(measure, through_proxy, api, stream):
    assert_cured(await measure("6 at once, two workers", concurrent, 6, through_proxy(2), api, stream))


@pytest.mark.parametrize(("api", "stream"), STREAMED)
async def test_follow_up_to_a_running_turn(measure, bare, through_proxy, api, stream):
    trial = "follow-up while the first streams"
    await measure(trial, follow_up, 2, bare, api, stream)
    assert_cured(await measure(trial, follow_up, 2, through_proxy(1), api, stream))


@pytest.mark.parametrize(("api", "stream"), APIS)
async def test_client_leaves_in_the_first_turn(measure, bare, through_proxy, api, stream):
    trial = "client leaves in the first turn"
    await measure(trial, leaving, 2, bare, api, stream)
    assert_cured(await measure(trial, leaving, 2, through_proxy(1), api, stream))


@pytest.mark.parametrize(("api", "stream"), APIS)
async def test_proxy_is_restarted(measure, restartable, api, stream):
    assert_cured(await measure("proxy restarted after the first turn", restarted, 3, restartable, api, stream))


@pytest.mark.parametrize(("api", "stream"), [("chat", False), ("responses", True)])
async def test_established_conversation(measure, bare, through_proxy, api, stream):
    """The bare column has the rate of the gateway's own failures on a known key."""
    trial = "6 at once for a known key"
    await measure(trial, established, 7, bare, api, stream)
    assert_cured(await measure(trial, established, 7, through_proxy(1), api, stream))
