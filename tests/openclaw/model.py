"""A fake OpenAI-compatible model on loopback, which records each request."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MARK = re.compile(r"\bMSG-[\w-]+")
WAIT = re.compile(r"\b(first|tail|later)=([\d.]+)")


@dataclass(frozen=True)
class Message:
    """A user's message: its mark, by which it is found again everywhere, and the seconds that the model waits.

    The model waits `first` before its first word and `tail` before its last one. Where it is shown an earlier answer,
    it waits `later` before the first word and not at all before the last.
    """

    mark: str
    first: float = 0.2
    tail: float = 0.5
    later: float = 0.05

    def __str__(self) -> str:
        return f"{self.mark} first={self.first} tail={self.tail} later={self.later}"


@dataclass(frozen=True)
class Seen:
    """A request to the model: the mark of its last message, and those of all the messages it was shown."""

    mark: str
    shown: tuple[str, ...]
    at: float


class FakeModel(ThreadingHTTPServer):
    """Answers each message with `ok ANSWER-TO-` and its mark."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[Seen] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def of_trial(self, trial: str) -> list[Seen]:
        """Return the requests that came for messages of `trial`, the oldest first."""
        return [seen for seen in list(self.seen) if seen.mark.startswith(f"MSG-{trial}-")]


@contextmanager
def fake_model() -> Iterator[FakeModel]:
    """Serve a model until the block ends."""
    with FakeModel() as model:
        thread = threading.Thread(target=model.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield model
        finally:
            model.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeModel

    def log_message(self, *arguments) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._send_json({"object": "list", "data": [{"id": "fake", "object": "model"}]})

    def do_POST(self) -> None:
        came = time.time()
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = [(message["role"], _text(message.get("content"))) for message in body["messages"]]
        last = next((text for role, text in reversed(said) if role == "user" and MARK.search(text)), "MSG-none")
        mark = MARK.findall(last)[-1]
        marks = dict.fromkeys(mark for role, text in said if role == "user" for mark in MARK.findall(text))
        self.server.seen.append(Seen(mark, tuple(marks), came))
        waits = {name: float(seconds) for name, seconds in WAIT.findall(last)}
        if any(role == "assistant" for role, _ in said):
            waits = {"first": waits.get("later", 0.0)}
        time.sleep(waits.get("first", 0.0))
        answer = [{"role": "assistant", "content": "ok "}, {"content": f"ANSWER-TO-{mark}"}]
        try:
            if body.get("stream"):
                self._stream(answer, waits.get("tail", 0.0))
            else:
                message = {"role": "assistant", "content": "".join(part["content"] for part in answer)}
                choice = {"index": 0, "finish_reason": "stop", "message": message}
                self._send_json({"id": "c", "object": "chat.completion", "model": "fake", "choices": [choice]})
        except OSError:
            self.close_connection = True  # the gateway has cancelled the run

    def _stream(self, answer: list[dict[str, str]], tail: float) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self._send_chunk([{"index": 0, "delta": answer[0], "finish_reason": None}])
        time.sleep(tail)
        self._send_chunk([{"index": 0, "delta": answer[1], "finish_reason": None}])
        self._send_chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        self._send_chunk([], usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})
        self.wfile.write(b"data: [DONE]\n\n")

    def _send_chunk(self, choices: list[dict], **more) -> None:
        chunk = {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "fake",
            "choices": choices,
            **more,
        }
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    def _send_json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _text(content: str | list[dict] | None) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or ())
