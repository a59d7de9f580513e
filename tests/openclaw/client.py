"""Requests to the gateway's two HTTP APIs, bare or through a proxy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import httpx
from openclaw.gateway import TOKEN
from openclaw.model import Message

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
SECONDS = 90.0


@dataclass
class Reply:
    """The answer to a message, as far as it came."""

    message: Message
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    problem: str = ""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first words of the model have come, or the answer has ended."""

    @property
    def answered(self) -> bool:
        complete = self.status == 200 and f"ANSWER-TO-{self.message.mark}" in self.text
        return complete and not self.problem and not any(self._errors())

    @property
    def failure(self) -> str:
        """The reason why this is no answer, in a line."""
        if self.answered:
            return ""
        reason = self.problem or next(self._errors(), "") or self.text
        return f"{self.status}: {reason.strip()[:200]}"

    def _errors(self) -> Iterator[str]:
        """Yield the messages of errors, in the body or in events of a stream."""
        for line in self.text.splitlines():
            data = line.removeprefix("data: ")
            if data.startswith("{"):
                event = json.loads(data)
                if error := event.get("error") or event.get("response", {}).get("error"):
                    yield ("event: " if data != line else "") + error["message"]


async def send(
    url: str,
    key: str,
    message: Message,
    api: str,
    *,
    stream: bool,
    reply: Reply | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send a message to the conversation `key` and return the answer; `reply`, if given, is filled as it comes."""
    reply = reply or Reply(message)
    said = {"messages": [{"role": "user", "content": str(message)}]} if api == "chat" else {"input": str(message)}
    sent = {"authorization": f"Bearer {TOKEN}", "x-openclaw-session-key": key, **(headers or {})}
    body = {"model": "openclaw", "stream": stream, **said}
    try:
        async with (
            httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client,
            client.stream("POST", url + PATHS[api], json=body, headers=sent) as response,
        ):
            reply.status, reply.headers = response.status_code, response.headers
            async for part in response.aiter_text():
                reply.text += part
                if '"ok' in reply.text:
                    reply.begun.set()
    except httpx.TransportError as error:
        reply.problem = repr(error)
    finally:
        reply.begun.set()
    return reply
