"""The arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Key = Annotated[str, typer.Argument(metavar="KEY", help="The session key, in any spelling a client may send.")]
Agent = Annotated[str | None, typer.Option(help="The agent of a key that names none.", show_default=False)]
StoreUrl = Annotated[str, typer.Option("--store", envvar="SESSIONGUARD_STORE", help="The URL of the store.")]
Namespace = Annotated[
    str | None, typer.Option(envvar="SESSIONGUARD_NAMESPACE", help="That of the application.", show_default=False)
]
Principal = Annotated[str | None, typer.Option(help="Whose conversation, where they have owners.", show_default=False)]
Prefix = Annotated[str, typer.Option(help="Only keys that begin with this text, as listed; it is never a pattern.")]
AsJson = Annotated[bool, typer.Option("--json", help="Report as JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it. Without this, it is only said what would be done.")]
