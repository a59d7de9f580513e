"""The applications that are compared: `CONTENDER=guard uvicorn --factory contenders:served` serves one of them."""

import asyncio
import os
import uuid

BODY = b'{"ok":true}'
KEY_HEADER = b"x-openclaw-session-key"
KEY = b"agent:main:whatsapp:direct:+4915112345678"
HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"OpenAI/Python 1.99.0"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b"en-US,en;q=0.9"),
    (b"connection", b"keep-alive"),
    (b"content-type", b"application/json"),
    (b"content-length", b"0"),
    (b"authorization", b"Bearer sk-0123456789abcdef0123456789abcdef"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
]


async def bare(scope, receive, send):
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


class Passing:
    """Middleware that does nothing but copy the scope."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app({**scope}, receive, send)


class Scanning:
    """Middleware that looks for one header, comparing lower-cased names."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            for name, _ in scope["headers"]:
                if name.lower() == KEY_HEADER:
                    break
        await self.app(scope, receive, send)


async def with_session(scope, receive, send):
    """Use the session as an application would: written once, read from then on."""
    if scope["type"] == "http" and "id" not in scope["session"]:
        scope["session"]["id"] = str(uuid.uuid4())
    await bare(scope, receive, send)


class ByHand:
    """What one writes without a library: read, and if there is nothing, write unless somebody else has."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            key = next((value for name, value in scope["headers"] if name == KEY_HEADER), None)
            if key is not None:
                scope = {**scope, "session_id": await self.resolve(key.decode())}
        await self.app(scope, receive, send)


class RedisByHand(ByHand):
    def __init__(self, app):
        super().__init__(app)
        self.redis = redis_client()

    async def resolve(self, key):
        found = await self.redis.get(key)
        if found is None:
            minted = str(uuid.uuid4())
            found = minted if await self.redis.set(key, minted, nx=True) else await self.redis.get(key)
        return found


class DiskcacheByHand(ByHand):
    def __init__(self, app):
        import diskcache

        super().__init__(app)
        self.cache = diskcache.Cache(os.environ["BENCHMARK_DIRECTORY"])

    async def resolve(self, key):
        found = await asyncio.to_thread(self.cache.get, key)
        if found is None:
            minted = str(uuid.uuid4())
            added = await asyncio.to_thread(self.cache.add, key, minted)
            found = minted if added else await asyncio.to_thread(self.cache.get, key)
        return found


def redis_client():
    from redis.asyncio import Redis

    return Redis.from_url(os.environ["BENCHMARK_REDIS"])


def guarded(store):
    from sessionguard import SessionGuard

    return SessionGuard(bare, store=store)


def guard():
    return guarded(f"disk://{os.environ['BENCHMARK_DIRECTORY']}")


def guard_alone():
    """Has everything installed that `guard_turns` has, so that nothing but the gate makes a difference."""
    os.environ["SESSIONGUARD_DISABLED_PLUGINS"] = "turns"
    return guard()


def guard_turns():
    """Its gate takes a conversation for established after 50 ms, as others do after a minute."""
    from sessionguard_turns import TurnsPlugin

    from sessionguard import SessionGuard

    gate = TurnsPlugin(mode="first", wait_timeout=0.05)
    return SessionGuard(bare, store=f"disk://{os.environ['BENCHMARK_DIRECTORY']}", plugins=[gate])


def correlation_id():
    from asgi_correlation_id import CorrelationIdMiddleware

    return CorrelationIdMiddleware(bare)


def starlette_session():
    from starlette.middleware.sessions import SessionMiddleware

    return SessionMiddleware(with_session, secret_key="benchmark")


def starsessions(store):
    from starsessions import SessionAutoloadMiddleware, SessionMiddleware

    return SessionMiddleware(SessionAutoloadMiddleware(with_session), store=store, cookie_https_only=False)


def starsessions_memory():
    from starsessions import InMemoryStore

    return starsessions(InMemoryStore())


def starsessions_redis():
    from starsessions.stores.redis import RedisStore

    return starsessions(RedisStore(connection=redis_client()))


def idempotency_memory():
    from idempotency_header_middleware import IdempotencyHeaderMiddleware
    from idempotency_header_middleware.backends.memory import MemoryBackend

    return IdempotencyHeaderMiddleware(bare, backend=MemoryBackend())


def idempotency_redis():
    from idempotency_header_middleware import IdempotencyHeaderMiddleware
    from idempotency_header_middleware.backends.redis import RedisBackend

    return IdempotencyHeaderMiddleware(bare, backend=RedisBackend(redis=redis_client()))


CONTENDERS = {
    "bare": lambda: bare,
    "passing": lambda: Passing(bare),
    "scanning": lambda: Scanning(bare),
    "guard": guard,
    "guard-sqlite": lambda: guarded(f"sqlite://{os.environ['BENCHMARK_DIRECTORY']}"),
    "guard-memory": lambda: guarded("memory:"),
    "guard-redis": lambda: guarded(os.environ["BENCHMARK_REDIS"]),
    "guard-alone": guard_alone,
    "guard-turns": guard_turns,
    "correlation-id": correlation_id,
    "starlette-session": starlette_session,
    "starsessions-memory": starsessions_memory,
    "starsessions-redis": starsessions_redis,
    "idempotency-memory": idempotency_memory,
    "idempotency-redis": idempotency_redis,
    "redis-by-hand": lambda: RedisByHand(bare),
    "diskcache-by-hand": lambda: DiskcacheByHand(bare),
}
EXTRA_HEADERS = {
    "idempotency-memory": [(b"idempotency-key", b"3f6f3b0e-4c2f-4d22-9f24-0d8f4c1e5d33")],
    "idempotency-redis": [(b"idempotency-key", b"3f6f3b0e-4c2f-4d22-9f24-0d8f4c1e5d33")],
}


def served():
    return CONTENDERS[os.environ["CONTENDER"]]()
