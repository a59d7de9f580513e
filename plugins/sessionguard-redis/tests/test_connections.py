"""How a server is reached: TLS, a Unix socket, a user and a password."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from redis_servers import RedisServer, Start, open_store
from tls_front import TlsFront

from sessionguard import ConfigurationError, SessionGuardError, StoreUnavailable

pytestmark = [pytest.mark.server, pytest.mark.lowest]


async def reserve_and_read(url: str) -> bool:
    """Whether a row that was reserved over this URL is read over it."""
    store = open_store(url)
    try:
        reservation = await store.reserve("key", "id", None)
        return await store.get("key") == reservation.record
    finally:
        await store.aclose()


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Path]:
    """The certificate of an authority that nobody else knows."""
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    yield path


@pytest.fixture
def tls(server: RedisServer, tmp_path: Path) -> Iterator[tuple[TlsFront, Path]]:
    """A server behind TLS, with a certificate for 127.0.0.1, and the authority that signed it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "known.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with TlsFront(context, server.port) as front:
        yield front, tmp_path / "known.pem"


async def test_a_server_behind_tls_is_served(tls: tuple[TlsFront, Path]) -> None:
    """Its authority is named in the URL."""
    front, known = tls

    assert await reserve_and_read(f"rediss://127.0.0.1:{front.port}?ssl_ca_certs={known}")


def test_a_store_that_is_closed_has_said_good_bye_over_tls(tls: tuple[TlsFront, Path]) -> None:
    """Before its loop ends: nothing is left open, and nothing complained of."""
    front, known = tls
    for _ in range(8):
        assert asyncio.run(reserve_and_read(f"rediss://127.0.0.1:{front.port}?ssl_ca_certs={known}"))
        gc.collect()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_certificate_is_checked(
    tls: tuple[TlsFront, Path], authority: Path, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Signed by an authority we trust, and made out to the host we asked for."""
    front, known = tls
    trusted = authority if host == "127.0.0.1" else known
    with pytest.raises(StoreUnavailable):
        await reserve_and_read(f"rediss://{host}:{front.port}?ssl_ca_certs={trusted}")

    assert "certificate verify failed" in caplog.text


async def test_a_unix_socket_is_served(server: RedisServer) -> None:
    """In any of its databases."""
    assert await reserve_and_read(f"unix://{server.socket}?db=3")
    with server.talk() as client:
        assert client.info("keyspace").keys() == {"db3"}


@pytest.mark.parametrize(
    ("credentials", "told"),
    [
        ("", "Authentication required"),
        (":wrong@", "invalid|WRONGPASS"),
        ("me:hunter2@", ""),
        ("reader:hunter2@", "needs read and write access to the keys"),
        (":hunter2@", ""),
    ],
)
async def test_a_user_and_a_password_are_needed_where_the_server_says_so(
    start: Start, credentials: str, told: str
) -> None:
    """Without them, or with too few rights, the message says what is missing, and never the password."""
    server = start()
    with server.talk() as client:
        client.execute_command(
            "ACL SETUSER me on >hunter2 ~sessionguard:* +@read +@write +@scripting +info +time +select"
        )
        client.execute_command("ACL SETUSER reader on >hunter2 ~* +@read +info +time +select")
        client.config_set("requirepass", "hunter2")
        outcome = ""
        try:
            await reserve_and_read(f"redis://{credentials}127.0.0.1:{server.port}/1")
        except SessionGuardError as error:
            assert isinstance(error, ConfigurationError)
            outcome = str(error)
        client.execute_command("ACL SETUSER default nopass")

    assert bool(outcome) == bool(told)
    assert not told or any(each in outcome for each in told.split("|"))
    assert "hunter2" not in outcome
