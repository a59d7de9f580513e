"""What mkdocs does beyond the pages that are written: those that are read out of the code, so that they cannot drift.

Links to files that are not part of the site become what they say, with the path behind it.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.cli import get_docs_for_click

from sessionguard import settings
from sessionguard.cli.main import app
from sessionguard.hookspecs import SessionGuardHooks

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[([^\]]+)\]\(([^)#]+)(#[^)]*)?\)")
FIELD = re.compile(r":(param )?(\w+):")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that nobody writes, and the manuals of the plugins."""
    pages = {"reference/settings.md": _settings, "reference/hooks.md": _hooks, "reference/command-line.md": _commands}
    for path, write in pages.items():
        files.append(File.generated(config, path, content="\n".join(write())))
    for readme in sorted(ROOT.glob("plugins/*/README.md")):
        files.append(File.generated(config, f"plugins/{readme.parent.name}.md", content=readme.read_text()))
    config.nav = [_expanded(entry) for entry in config.nav or []]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point to pages of the site instead of files of the checkout, and only name the files that are no page."""

    def point(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        if ":" in target:
            return match[0]
        path = _resolved(PurePosixPath(_source(page.file.src_uri)).parent / target)
        inside = _page(path)
        if inside is None or files.get_file_from_path(inside) is None:
            return f"{text} (`{path}`)"
        up = "../" * page.file.src_uri.count("/")
        return f"[{text}]({up}{inside}{anchor if inside != 'index.md' else ''})"

    return LINK.sub(point, markdown)


def _source(uri: str) -> str:
    """Where in the checkout a page of the site comes from."""
    plugin = re.fullmatch(r"plugins/(.+)\.md", uri)
    return f"plugins/{plugin[1]}/README.md" if plugin else f"docs/{uri}"


def _page(path: str) -> str | None:
    """The page of the site that shows a file of the checkout."""
    if path == "README.md":
        return "index.md"
    plugin = re.fullmatch(r"plugins/([\w-]+)/README\.md", path)
    if plugin:
        return f"plugins/{plugin[1]}.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else None


def _resolved(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def _expanded(entry: Any) -> Any:
    if entry == {"Plugins": ["plugins/*"]}:
        return {"Plugins": [f"plugins/{path.parent.name}.md" for path in sorted(ROOT.glob("plugins/*/README.md"))]}
    return entry


def _settings() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "Every one is a keyword argument of `SessionGuard` and a variable of the environment; an argument wins."
    for field in dataclasses.fields(settings.GuardSettings):
        yield f"\n## `{field.name}`\n"
        yield _docstrings(settings.GuardSettings)[field.name]
        yield ""
        if field.name != "plugins":
            yield f"- variable: `{settings.PREFIX}{field.name.upper()}`"
        yield f"- default: `{field.default!r}`"
        yield f"- legal: {field.metadata['kind'].expects}"


def _docstrings(kind: type) -> dict[str, str]:
    """The strings that stand behind the fields of a class."""
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in itertools.pairwise(tree.body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(field.target)] = inspect.cleandoc(str(text.value.value))
    return found


def _hooks() -> Iterator[str]:
    yield "# Hooks"
    yield ""
    yield from inspect.cleandoc(inspect.getmodule(SessionGuardHooks).__doc__ or "").splitlines()[2:]
    for name, hook in vars(SessionGuardHooks).items():
        if name.startswith("sessionguard_"):
            arguments = list(inspect.signature(hook).parameters)[1:]
            yield f"\n## `{name}`\n"
            yield f"`{name}({', '.join(arguments)})`\n"
            yield FIELD.sub(lambda match: f"\n- `{match[2]}`:", inspect.cleandoc(hook.__doc__ or ""))


def _commands() -> Iterator[str]:
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="sessionguard")
    yield get_docs_for_click(obj=command, ctx=context, name="sessionguard", title="Command line")
