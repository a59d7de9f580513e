"""Asks the hooks about a request and combines their answers into a `ResolutionRequest`.

Compiled once, when the guard is built: a hook nobody implements is not asked at all.
"""

from __future__ import annotations

import fnmatch
import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from sessionguard.asgi import Header, Scope
from sessionguard.codec import is_session_id
from sessionguard.errors import PolicyFailed, Refusal, SessionForbidden, SessionKeyRequired
from sessionguard.hookspecs import HookImplementation
from sessionguard.keys import canonical, row_key
from sessionguard.minting import random_session_id
from sessionguard.openclaw import OpenClawKeys
from sessionguard.records import ExplicitSession, ResolutionRequest
from sessionguard.settings import GuardSettings

EXPLICIT_SCOPE_KEY = "sessionguard.explicit"

MOST_KEYS = 8192
DECIDING = (
    "sessionguard_session_key",
    "sessionguard_principal",
    "sessionguard_explicit_session_id",
    "sessionguard_suppress_visible_effects",
)

Hooks = Mapping[str, Sequence[HookImplementation]]


class RequestPolicy:
    """What the plugins of one guard think of a request."""

    def __init__(self, settings: GuardSettings, hooks: Hooks, keys: OpenClawKeys) -> None:
        self._settings = settings
        self._read_headers = keys.read
        self._session_key = hooks["sessionguard_session_key"]
        self._principal = hooks["sessionguard_principal"]
        self._explicit = hooks["sessionguard_explicit_session_id"]
        self._suppress = hooks["sessionguard_suppress_visible_effects"]
        self._new_id = hooks["sessionguard_new_session_id"]
        self._requires_key = _path_matcher(settings.require_key)
        self._excludes = _path_matcher(settings.exclude_paths)
        self._canonical = functools.partial(
            canonical, default_agent=settings.default_agent, max_length=settings.max_key_length
        )
        self.canonical_key = functools.lru_cache(MOST_KEYS)(self._canonical)
        """(raw key, agent or None) to the canonical key."""
        self.headers_decide = not (settings.require_key or settings.exclude_paths) and _is_alone(keys, hooks)
        """Whether the built-in key rule is alone, so that what is not in its headers makes no difference to it."""

    @property
    def knows_principals(self) -> bool:
        return bool(self._principal)

    def ask(self, scope: Scope, headers: Collection[Header]) -> ResolutionRequest | None:
        """Return what is asked for, None when the request names no conversation; raises the Refusal it deserves.

        `headers` are those of the scope that the built-in key rule may have to look at, and perhaps some more.
        """
        if scope.get("method") == "OPTIONS" or self._excludes(scope["path"]):
            return None
        if self.headers_decide and EXPLICIT_SCOPE_KEY not in scope:
            return self._ask_headers(headers)
        session_key = self._key_of(scope)
        principal = self._principal_of(scope) if session_key is not None else None
        explicit_id = self._explicit_id_of(scope, session_key)
        internal = self._is_internal(scope, session_key)
        if session_key is None:
            if explicit_id is None and self._requires_key(scope["path"]):
                raise SessionKeyRequired(f"This path needs a session key; send the header {self._settings.header}.")
            return None if explicit_id is None else ResolutionRequest("", "", explicit_id)
        return ResolutionRequest(session_key, self.row_key(session_key, principal), explicit_id, internal)

    def _ask_headers(self, headers: Collection[Header]) -> ResolutionRequest | None:
        found = self._read_headers(headers)
        if found is None:
            return None
        # What comes of it is remembered by these headers, so to remember the key as well would only cost memory.
        session_key = self._canonical(*found)
        return ResolutionRequest(session_key, self.row_key(session_key, None))

    def row_key(self, session_key: str, principal: str | None) -> str:
        return row_key(self._settings.namespace, principal, session_key, self._settings.key_secret)

    def new_session_id(self, session_key: str, replacing: str | None) -> str:
        """Mint an id that is not `replacing`; random unless a plugin knows better."""
        plugin, minted = first_answer(self._new_id, session_key) if self._new_id else ("", None)
        if minted is None:
            return random_session_id()
        if not is_session_id(minted):
            raise nonsense(plugin, "sessionguard_new_session_id", "1 to 256 visible ASCII characters")
        if minted == replacing:
            raise PolicyFailed(
                f"The plugin {plugin} minted the session id that is being replaced; it must mint a new one each time.",
                plugin,
            )
        return str(minted)

    def _key_of(self, scope: Scope) -> str | None:
        plugin, answer = first_answer(self._session_key, scope)
        if answer is None:
            return None
        match answer:
            case (str(raw_key), str() | None as agent):
                return self.canonical_key(raw_key, agent)
        raise nonsense(plugin, "sessionguard_session_key", "a pair of text and text or None")

    def _principal_of(self, scope: Scope) -> str | None:
        if not self._principal:
            return None
        plugin, answer = first_answer(self._principal, scope)
        if answer is not None and not isinstance(answer, str):
            raise nonsense(plugin, "sessionguard_principal", "text or None")
        if not answer:
            raise SessionForbidden("This request names a conversation, but not who is asking; authenticate first.")
        return answer

    def _explicit_id_of(self, scope: Scope, session_key: str | None) -> str | None:
        marker = scope.get(EXPLICIT_SCOPE_KEY)
        if marker is not None:
            if not isinstance(marker, ExplicitSession) or not is_session_id(marker.session_id):
                raise PolicyFailed(f"scope[{EXPLICIT_SCOPE_KEY!r}] must be an ExplicitSession with a legal id.")
            return marker.session_id
        plugin, answer = first_answer(self._explicit, scope, session_key)
        if answer is not None and not is_session_id(answer):
            raise nonsense(plugin, "sessionguard_explicit_session_id", "1 to 256 visible ASCII characters or None")
        return cast("str | None", answer)

    def _is_internal(self, scope: Scope, session_key: str | None) -> bool:
        verdicts = list(_answers(self._suppress, scope, session_key))
        for plugin, verdict in verdicts:
            if verdict is not None and not isinstance(verdict, bool):
                raise nonsense(plugin, "sessionguard_suppress_visible_effects", "True, False or None")
        return any(verdict for _, verdict in verdicts)


def _is_alone(keys: OpenClawKeys, hooks: Hooks) -> bool:
    """Whether the built-in key rule is the only one that decides anything about a request."""
    return [each.call for name in DECIDING for each in hooks[name]] == [keys.sessionguard_session_key]


def _answers(implementations: Sequence[HookImplementation], *arguments: object) -> Iterable[tuple[str, Any]]:
    for plugin, call in implementations:
        try:
            answer = call(*arguments)
        except Refusal:
            raise
        except Exception as error:
            raise PolicyFailed(f"The plugin {plugin} failed while deciding about this request.", plugin) from error
        if inspect.isawaitable(answer):
            if inspect.iscoroutine(answer):
                answer.close()
            raise PolicyFailed(f"The plugin {plugin} answered with an awaitable; hooks are plain functions.", plugin)
        yield plugin, answer


def first_answer(implementations: Sequence[HookImplementation], *arguments: object) -> tuple[str, Any]:
    """Return the first answer that is not None, behind the plugin that gave it; raises a Refusal when one failed."""
    for plugin, answer in _answers(implementations, *arguments):
        if answer is not None:
            return plugin, answer
    return "", None


def nonsense(plugin: str, hook: str, expected: str) -> PolicyFailed:
    """Return the error for an answer that is not what the hook must answer."""
    return PolicyFailed(f"The plugin {plugin} gave an illegal answer to {hook}; it must be {expected}.", plugin)


def _path_matcher(patterns: Sequence[str]) -> Callable[[str], object]:
    if not patterns:
        return lambda path: False
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)).match
