"""The real applications, by the name of their environment, and what is installed for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

APPLICATIONS: Mapping[str, Sequence[str]] = {
    "litellm": ("litellm",),
    "mcp": ("mcp",),
    "datasette": ("datasette",),
    "django_admin": ("django",),
    "gradio": ("gradio",),
    "proxies": ("fastapi-proxy-lib", "asgiproxy"),
    # It needs a graphics card; FastAPI is given the class as vLLM gives it.
    "vllm": ("fastapi",),
}
