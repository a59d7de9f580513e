"""Which conversations a command is about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from sessionguard.cli.conversation import Conversation
from sessionguard.keys import row_key
from sessionguard.store import SessionStore


@dataclass(frozen=True)
class Selection:
    """Those of a namespace whose session key begins with `prefix`; of one `principal`, or of all and of nobody."""

    namespace: str
    prefix: str = ""
    principal: str | None = None

    def within(self, namespace: str) -> Selection:
        """Return the same selection of another namespace."""
        return replace(self, namespace=namespace)

    async def of(self, store: SessionStore) -> AsyncIterator[Conversation]:
        """Yield them in the order of the store, page by page."""
        start = f"{self.namespace}/"
        if self.principal is not None:
            start = row_key(self.namespace, self.principal, self.prefix)
        async for key, record in store.scan(start):
            conversation = Conversation(key, record)
            if conversation.session_key.startswith(self.prefix):
                yield conversation
