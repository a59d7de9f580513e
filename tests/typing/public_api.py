"""The public API as users type it. Never run; `mypy --strict` and `pyright` in strict mode read it.

An ignored error here is an error the checker must see: mypy reports an ignore that ignores nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

from typing_extensions import ParamSpec, assert_type

from sessionguard import (
    ConfigurationError,
    ExplicitSession,
    GuardSettings,
    Origin,
    Refusal,
    Reservation,
    ResetPolicy,
    ResetRule,
    Resolution,
    SessionForbidden,
    SessionGuard,
    SessionRecord,
    SessionStore,
    Touch,
    get_resolution,
    hookimpl,
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
P = ParamSpec("P")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    resolution = get_resolution(scope)
    assert_type(resolution, Resolution)
    assert_type(resolution.session_id, str)
    assert_type(resolution.session_key, str | None)
    assert_type(resolution.origin, Origin)
    assert_type(resolution.session_started_at, int | None)
    resolution.session_id = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


class ShelfStore(SessionStore):
    """A store of one's own: the whole contract."""

    coordination = "host"

    @property
    def location(self) -> str:
        return "the shelf"

    def warnings(self) -> Sequence[str]:
        return ["dust"]

    async def get(self, key: str) -> SessionRecord | None:
        return None

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        return Reservation(SessionRecord(candidate_id, 0, 0), True, 0)

    async def touch(self, updates: Sequence[Touch]) -> None:
        for update in updates:
            assert_type((update.key, update.session_id, update.age), tuple[str, str, int])

    async def forget(self, key: str, session_id: str, idle_before: int | None = None) -> bool:
        return False

    async def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, SessionRecord]]:
        yield prefix, SessionRecord("id", 0, 0)

    async def ping(self) -> int:
        return 0

    async def aclose(self) -> None: ...


class HalfAStore(SessionStore):
    """One that forgot the verbs."""

    coordination = "galaxy"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


HalfAStore()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]


class Library:
    """A plugin: hooks keep their types under `@hookimpl`."""

    @hookimpl
    def sessionguard_settings(self) -> Mapping[str, str]:
        return {"SESSIONGUARD_SHELF": "where it stands"}

    @hookimpl
    def sessionguard_register_stores(self) -> Mapping[str, Callable[[str, GuardSettings], SessionStore]]:
        return {"shelf": lambda url, settings: ShelfStore()}

    @hookimpl
    def sessionguard_wrap_app(self, app: ASGIApp, settings: GuardSettings, store: SessionStore) -> ASGIApp:
        assert_type(settings.touch_interval, float)
        assert_type(settings.reset, ResetPolicy)
        return app

    @hookimpl(tryfirst=True)
    def sessionguard_session_key(self, scope: Scope) -> tuple[str, str | None] | None:
        return ("a", None)

    @hookimpl
    def sessionguard_principal(self, scope: Scope) -> str | None:
        raise SessionForbidden("Not you.")

    @hookimpl(specname="sessionguard_session_resolved")
    def watch(self, resolution: Resolution) -> None: ...

    @hookimpl
    def sessionguard_request_refused(self, error: Refusal) -> None:
        assert_type(error.status, int)
        assert_type(error.code, str)


assert_type(Library().sessionguard_session_key({}), tuple[str, str | None] | None)

SessionGuard(app)
SessionGuard(app, store="memory:", namespace="team", reset="daily@4", plugins=[Library(), Library])
SessionGuard(
    app,
    store=ShelfStore(),
    header="x-chat-id",
    aliases=["x-session"],
    default_agent="ops",
    max_key_length=64,
    key_secret=None,
    require_key=("/v1/*",),
    exclude_paths=["/health"],
    reset=ResetPolicy(ResetRule(daily_at=4, idle=3_600_000), {"group": ResetRule()}),
    touch_interval=30,
    reserve_timeout=0.5,
    on_store_error="open",
    forward_header=None,
    status_header=False,
    expose_session_id=True,
    retention="30d",
    coordination="host",
    disabled_plugins=["handoff"],
)
SessionGuard(app, reset=ResetPolicy.parse("idle=60m;thread:none"))

SessionGuard()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
SessionGuard("module:app")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SessionGuard(app, stor="memory:")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
SessionGuard(app, max_key_length="long")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SessionGuard(app, on_store_error="ajar")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SessionGuard(app, coordination="galaxy")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

guarded: ASGIApp = SessionGuard(app)


class MiddlewareFactory(Protocol[P]):
    """What Starlette and FastAPI call middleware."""

    def __call__(self, app: ASGIApp, /, *args: P.args, **kwargs: P.kwargs) -> ASGIApp: ...


class Framework:
    """`add_middleware` as Starlette and FastAPI type it."""

    def add_middleware(self, middleware_class: MiddlewareFactory[P], *args: P.args, **kwargs: P.kwargs) -> None: ...


Framework().add_middleware(SessionGuard)
Framework().add_middleware(SessionGuard, store="memory:", reset=ResetPolicy())


async def operate(guard: SessionGuard) -> None:
    assert_type(await guard.reset("a"), Resolution)
    assert_type(await guard.reset("a", agent="ops", principal="alice"), Resolution)
    await guard.reset("a", "ops")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def in_front(scope: Scope) -> Scope:
    """Trusted code in front of the guard."""
    return {**scope, "sessionguard.explicit": ExplicitSession("dictated")}


def handle(error: ConfigurationError | Refusal) -> str:
    return error.message if isinstance(error, Refusal) else str(error)
