"""Tells the watching plugins what happened. One that fails is logged and changes nothing."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence

from sessionguard.hookspecs import HookImplementation

log = logging.getLogger("sessionguard")


def observer(hook: str, implementations: Sequence[HookImplementation]) -> Callable[..., None] | None:
    """Return one function that tells every implementation of `hook`; None when there is nobody to tell."""
    if not implementations:
        return None

    def tell(*arguments: object) -> None:
        for plugin, call in implementations:
            try:
                answer = call(*arguments)
            except Exception:
                log.exception("the plugin %s failed in %s; the request goes on", plugin, hook)
                continue
            if inspect.iscoroutine(answer):
                answer.close()
                log.error("the plugin %s answered %s with a coroutine; hooks are plain functions", plugin, hook)

    return tell
