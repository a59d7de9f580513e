"""The trials: shapes of requests for one conversation, each with the measures of its outcome."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from openclaw.client import Reply, send
from openclaw.gateway import Gateway
from openclaw.model import FakeModel, Message, Seen
from openclaw.sessions import settled_transcripts

LEAVING_SECONDS = 30.0
OWN_FAILURES = re.compile("file lock stale|lane=session:.*EmbeddedAttemptSessionTakeoverError")
"""Lines of the log for faults of 2026.5.20 and 2026.7.35, which fail so for known keys as well, without a proxy.

After the second one an answer may have status 200 and never end.
"""


@dataclass
class Route:
    """The way to a gateway: directly, or through a proxy that can be restarted."""

    gateway: Gateway
    model: FakeModel
    url: str
    restart: Callable[[], str] | None = None
    """Restart the proxy between two turns and return its new address."""


@dataclass
class Conversation:
    """The requests of one trial, which are for one new key."""

    route: Route
    api: str
    stream: bool
    trial: str = field(default_factory=lambda: secrets.token_hex(4))
    replies: list[Reply] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"trial-{self.trial}"

    def send(self) -> asyncio.Task[Reply]:
        """Start to send the next message."""
        reply = Reply(Message(f"MSG-{self.trial}-{len(self.replies)}"))
        self.replies.append(reply)
        sending = send(self.route.url, self.key, reply.message, self.api, stream=self.stream, reply=reply)
        return asyncio.create_task(sending)

    async def send_together(self, count: int) -> None:
        await asyncio.gather(*(self.send() for _ in range(count)))

    def seen(self) -> list[Seen]:
        """Return the requests that the model was sent for messages of this trial."""
        return self.route.model.of_trial(self.trial)


@dataclass(frozen=True)
class Outcome:
    """The measures of one trial."""

    sessions: int
    failures: Sequence[str]
    own_failures: Sequence[str]
    """Lines of the gateway's log for failures of its own, which are not among `failures`."""
    shown: int
    messages: int
    """The last turn was shown `shown` of the trial's `messages`, its own included."""


async def concurrent(conversation: Conversation, count: int) -> None:
    await conversation.send_together(count)


async def follow_up(conversation: Conversation, count: int) -> None:
    """Send the second message when the first words of the first answer have come."""
    first = conversation.send()
    await conversation.replies[0].begun.wait()
    await asyncio.gather(first, conversation.send())


async def restarted(conversation: Conversation, count: int) -> None:
    """Restart the proxy after the first turn; then two more at once."""
    await conversation.send_together(1)
    if conversation.route.restart is not None:
        conversation.route.url = await asyncio.to_thread(conversation.route.restart)
    await conversation.send_together(count - 1)


async def leaving(conversation: Conversation, count: int) -> None:
    """Let the client of the first turn leave 0.1 s after the model was asked, while two others have sent theirs."""
    first = conversation.send()
    await asyncio.sleep(0.1)
    others = asyncio.gather(*(conversation.send() for _ in range(count)))
    with suppress(TimeoutError):
        async with asyncio.timeout(LEAVING_SECONDS):
            while not first.done() and not any(seen.mark.endswith("-0") for seen in conversation.seen()):
                await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    conversation.replies.pop(0)
    await others


async def established(conversation: Conversation, count: int) -> None:
    """Send one message, and the others at once when its answer has ended."""
    await conversation.send_together(1)
    await conversation.send_together(count - 1)


Shape = Callable[[Conversation, int], Awaitable[None]]


async def run(shape: Shape, count: int, route: Route, api: str, *, stream: bool) -> Outcome:
    """Run one trial and measure it."""
    before = len(route.gateway.log_lines(OWN_FAILURES))
    conversation = Conversation(route, api, stream)
    await shape(conversation, count)
    answered = {reply.message.mark for reply in conversation.replies if reply.answered}
    found = await asyncio.to_thread(settled_transcripts, route.gateway.state, conversation.trial, answered)
    own = route.gateway.log_lines(OWN_FAILURES)[before:]
    failures = [reply.failure for reply in conversation.replies if not reply.answered]
    internal = [failure for failure in failures if failure.startswith(("200", "500"))][: len(own)]
    for failure in internal:
        failures.remove(failure)
    turns = [seen for seen in conversation.seen() if seen.mark in answered]
    shown = len(answered.intersection(turns[-1].shown)) if turns else 0
    return Outcome(len(found), failures, own[: len(internal)], shown, len(conversation.replies) - len(internal))
