"""The site, built as it is published: nothing in it points nowhere, and what is read out of the code is complete."""

from __future__ import annotations

import dataclasses
import html
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from sessionguard.cli.main import app
from sessionguard.hookspecs import SessionGuardHooks
from sessionguard.settings import GuardSettings

ROOT = Path(__file__).parents[2]
HOOKS = [name for name in vars(SessionGuardHooks) if name.startswith("sessionguard_")]
PAGES = [path.relative_to(ROOT / "docs") for path in sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built strictly: a link without a target fails."""
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return directory


def words(page: Path) -> str:
    """What a page says, without its markup."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text()))


def commands() -> list[str]:
    """Every command there is, as it is typed."""

    def below(command: object, name: str) -> list[str]:
        children = getattr(command, "commands", {})
        return [found for child in children for found in below(children[child], f"{name} {child}")] or [name]

    return below(typer.main.get_command(app), "sessionguard")


def test_the_first_page_begins_with_the_line(site: Path) -> None:
    """And goes on with the four cases, then the symptoms."""
    article = re.search(r"<article.*?</article>", (site / "index.html").read_text(), re.DOTALL)
    assert article is not None
    text = html.unescape(re.sub(r"<[^>]+>", "", article[0]))
    places = [text.find(what) for what in ("SessionGuard(app)", "Four cases", "forks the conversation", "LiteLLM")]

    assert 0 < places[0] < 150
    assert places == sorted(places)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_page_that_is_written_is_reached_from_the_first(site: Path, page: Path) -> None:
    """By the navigation, which is on all of them."""
    place = "" if page.name == "index.md" else f"{page.with_suffix('')}/"

    assert f'href="{place or "."}"' in (site / "index.html").read_text()
    assert (site / place / "index.html").exists()


def test_no_link_leads_out_of_the_site_into_a_checkout(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not re.findall(r'href="[^"]*(?:README\.md|examples/[^"]*\.py)"', page.read_text()), page


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_its_manual(site: Path, hook: str) -> None:
    text = words(site / "reference" / "hooks" / "index.html")

    assert f"{hook}(" in text
    assert str(getattr(SessionGuardHooks, hook).__doc__).split(".")[0] in text


@pytest.mark.parametrize("field", dataclasses.fields(GuardSettings), ids=lambda field: field.name)
def test_every_setting_has_its_default_and_its_legal_values(site: Path, field: dataclasses.Field[object]) -> None:
    section = words(site / "reference" / "settings" / "index.html").split(f"{field.name}¶")[1]

    assert section.index(f"default: {field.default!r}") < section.index("legal:")
    assert field.metadata["kind"].expects in section


@pytest.mark.parametrize("command", commands())
def test_every_command_has_its_manual(site: Path, command: str) -> None:
    assert f"$ {command}" in words(site / "reference" / "command-line" / "index.html")


@pytest.mark.parametrize("plugin", [path.parent.name for path in sorted(ROOT.glob("plugins/*/README.md"))])
def test_every_plugin_has_its_page(site: Path, plugin: str) -> None:
    assert plugin in words(site / "plugins" / plugin / "index.html")
