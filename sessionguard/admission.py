"""The way of a request into the application: what it asks for, what it was given before, what it takes along.

Every request of an established conversation runs through `recall` and `admit`. This is a class of its own
because looking up an attribute of one that has `__getattr__`, as the guard has, takes twice as long.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sessionguard import asgi
from sessionguard.bounded import BoundedMap
from sessionguard.openclaw import OpenClawKeys
from sessionguard.policy import EXPLICIT_SCOPE_KEY, RequestPolicy
from sessionguard.records import Origin, Resolution, ResolutionRequest
from sessionguard.resolver import Established, SessionResolver
from sessionguard.settings import SESSION_ID_HEADER, GuardSettings
from sessionguard.store import SessionStore

SCOPE_KEY = "sessionguard"
STORE_SCOPE_KEY = "sessionguard.store"
STATUS_HEADER = b"x-sessionguard-status"
REQUESTS = frozenset({"http", "websocket"})
OUR_HEADERS = frozenset({SESSION_ID_HEADER.encode(), b"x-openclaw-session-effects", b"x-openclaw-handoff-token"})
MOST_KNOWN = 8192

OurHeaders = tuple[asgi.Header, ...]


@dataclass(slots=True)
class Passage:
    """What a request takes along: its resolution, what says so in its scope, and the headers that do on both sides.

    Never changed, though not frozen: every new conversation makes one, and to make a frozen one takes twice as long.
    """

    resolution: Resolution
    session_id: str
    values: dict[str, object]
    request_headers: asgi.Headers
    response_headers: asgi.Headers


@dataclass(frozen=True, slots=True)
class Known:
    """What came of a request, for the next one that says the same.

    `established` is None where the store has to be read before anything holds again.
    """

    request: ResolutionRequest
    passage: Passage
    established: Established | None


class Admission:
    """How one guard lets requests in. `tell_resolved` hears of every resolution before the application runs."""

    def __init__(
        self,
        settings: GuardSettings,
        keys: OpenClawKeys,
        policy: RequestPolicy,
        resolver: SessionResolver,
        store: SessionStore,
        tell_resolved: Callable[..., None] | None,
    ) -> None:
        self.headers_decide = policy.headers_decide
        self._policy = policy
        self._resolver = resolver
        self._still_holds = resolver.still_holds
        self._store = store
        self._tell_resolved = tell_resolved
        self._known: BoundedMap[OurHeaders, Known] = BoundedMap(MOST_KNOWN)
        self._forward_header = settings.forward_header.encode() if settings.forward_header else None
        self._exposes_id = settings.expose_session_id
        self._status_headers = {
            origin: [(STATUS_HEADER, origin.value.encode())] if settings.status_header else [] for origin in Origin
        }
        self._stripped = OUR_HEADERS.union(filter(None, [self._forward_header]))
        self._kept = keys.names - self._stripped
        self._names = keys.names | self._stripped
        self._shortest = min(map(len, self._names))

    def recall(self, scope: asgi.Scope) -> tuple[OurHeaders, Known | None, Passage | None]:
        """Return the headers that a guard reads or removes, and what is known of requests that said the same.

        There is no passage when that does not hold any more, or has to be asked for; nothing when others have a say.
        """
        names, shortest = self._names, self._shortest
        ours: OurHeaders = ()
        for name, value in scope["headers"]:
            # Its length alone tells most names from ours, and costs less to look at than the name.
            if len(name) >= shortest and (name in names or asgi.one_spelling(name) in names):
                ours += ((name, value),)
        if not ours:
            return ours, None, None
        known = self._known.get(ours) or self._known.find(ours)
        if known is None or EXPLICIT_SCOPE_KEY in scope or scope.get("method") == "OPTIONS":
            return ours, None, None
        established = known.established
        return ours, known, known.passage if established is not None and self._still_holds(established) else None

    async def resolve(self, scope: asgi.Scope, ours: OurHeaders, known: Known | None) -> Passage | None:
        """Return what this request is let in with, None when it names no conversation; raises a Refusal."""
        request = self._policy.ask(scope, ours) if known is None else known.request
        if request is None:
            return None
        established = self._resolver.recall(request)
        resolution = await self._resolver.resolve(request) if established is None else established.resolution
        if known is not None and resolution is known.passage.resolution:
            return known.passage
        passage = self._passage(resolution)
        if resolution.origin is Origin.EXISTING and self.headers_decide and EXPLICIT_SCOPE_KEY not in scope:
            self._known.put(ours, Known(request, passage, established))
        return passage

    def admit(
        self, scope: asgi.Scope, send: asgi.Send, ours: OurHeaders, passage: Passage | None
    ) -> tuple[asgi.Scope, asgi.Send]:
        """Return the scope as the application shall see it, and a `send` that adds to its answer."""
        headers: asgi.Headers = scope["headers"]
        for name, _ in ours:
            if name not in self._kept:
                headers = asgi.without_headers(headers, self._stripped)
                break
        if passage is None:
            return {**scope, "headers": headers}, send
        if self._tell_resolved is not None:
            self._tell_resolved(scope, passage.resolution)
        session_id, state = passage.session_id, scope.get("state")
        child = {**scope, **passage.values}
        child["state"] = {**state, "session_id": session_id} if state else {"session_id": session_id}
        child["headers"] = headers + passage.request_headers
        extra = passage.response_headers
        if not extra:
            return child, send

        def decorated(message: asgi.Message) -> Awaitable[None]:
            kind = message["type"]
            if kind == "http.response.start" or kind == "websocket.accept":  # noqa: PLR1714 - half the price of a set
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            return send(message)

        return child, decorated

    def _passage(self, resolution: Resolution) -> Passage:
        session_id = resolution.session_id.encode()
        request_headers = [] if self._forward_header is None else [(self._forward_header, session_id)]
        response_headers = self._status_headers[resolution.origin]
        if self._exposes_id:
            response_headers = [*response_headers, (SESSION_ID_HEADER.encode(), session_id)]
        values = {SCOPE_KEY: resolution, STORE_SCOPE_KEY: self._store, "session_id": resolution.session_id}
        return Passage(resolution, resolution.session_id, values, request_headers, response_headers)
