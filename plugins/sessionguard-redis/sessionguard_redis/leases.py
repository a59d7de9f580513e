"""The leases of a store in Redis: one hash for each name, changed by one script for each verb."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from sessionguard import Lease, LeaseAnswer, LeaseSupport
from sessionguard.leases import TICKET
from sessionguard_redis.script import ACQUIRE, RELEASE, RENEW, Script

if TYPE_CHECKING:
    from sessionguard_redis.lane import Reply

MEMORY = 60_000
"""For how many milliseconds the fencing number of a name is remembered, in case the server's clock is set back."""
MARK = b"\xff"
"""What the keys of leases have behind the prefix. It is in no text, so they are never those of rows."""


class RedisLeases(LeaseSupport):
    """`LeaseSupport` for whoever has scripts run, and says on which `channel` owners are called."""

    channel: bytes

    @abc.abstractmethod
    async def run_for_lease(self, script: Script, name: bytes, *arguments: str | bytes | int) -> Reply:
        """Run a script for the name of a lease; raises as every verb does."""

    async def acquire(self, name: str, owner: str, duration: int, *, waited: int | None = None) -> LeaseAnswer:
        arguments = owner, duration, "" if waited is None else waited, TICKET, MEMORY
        granted, ahead, settled, now, *lease = await self.run_for_lease(ACQUIRE, _named(name), *arguments)
        standing = Lease(lease.pop().decode(), *lease) if lease else None
        return LeaseAnswer(bool(granted), standing, ahead, settled=bool(settled), now=now)

    async def renew(self, name: str, owner: str, duration: int) -> Lease | None:
        lease = await self.run_for_lease(RENEW, _named(name), owner, duration, MEMORY)
        return None if lease is None else Lease(owner, *lease)

    async def release(self, name: str, owner: str, *, settled_for: int = 0) -> bool:
        arguments = owner, settled_for, MEMORY, self.channel
        return bool(await self.run_for_lease(RELEASE, _named(name), *arguments))


def _named(name: str) -> bytes:
    return MARK + name.encode()
