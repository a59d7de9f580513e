"""The site, built as it is published: nothing in it points nowhere, and what is read out of the code is complete."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from dataclasses import Field, fields
from pathlib import Path

import pytest
import typer

from sessionguard.cli.main import app
from sessionguard.hookspecs import SessionGuardHooks
from sessionguard.settings import GuardSettings

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
CHECKOUT = re.compile(r'href="[^"]*(?:README\.md|examples/[^"]*\.py)"')
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


def test_every_page_that_is_written_is_reached_from_the_first(site: Path) -> None:
    """By the navigation, which is on all of them."""
    index = (site / "index.html").read_text()
    places = ["" if page.name == "index.md" else f"{page.with_suffix('')}/" for page in PAGES]

    assert [place for place in places if f'href="{place or "."}"' not in index] == []
    assert [place for place in places if not (site / place / "index.html").exists()] == []


def test_no_link_leads_out_of_the_site_into_a_checkout(site: Path) -> None:
    links = {page: CHECKOUT.findall(page.read_text()) for page in site.rglob("*.html")}

    assert {page: found for page, found in links.items() if found} == {}


def test_every_hook_has_its_manual(site: Path) -> None:
    text = words(site / "reference" / "hooks" / "index.html")
    manuals = {name: str(getattr(SessionGuardHooks, name).__doc__).split(".")[0] for name in HOOKS}

    assert [name for name, manual in manuals.items() if f"{name}(" not in text or manual not in text] == []


def test_every_setting_has_its_default_and_its_legal_values(site: Path) -> None:
    text = words(site / "reference" / "settings" / "index.html")

    assert [field.name for field in fields(GuardSettings) if not _is_explained(field, text)] == []


def _is_explained(field: Field[object], text: str) -> bool:
    section = text.partition(f"{field.name}¶")[2]
    default, legal = section.find(f"default: {field.default!r}"), section.find("legal:")
    return 0 <= default < legal and field.metadata["kind"].expects in section


def test_every_command_has_its_manual(site: Path) -> None:
    text = words(site / "reference" / "command-line" / "index.html")

    assert [command for command in commands() if f"$ {command}" not in text] == []


def test_every_plugin_has_its_page(site: Path) -> None:
    names = [path.parent.name for path in ROOT.glob("plugins/*/README.md")]

    assert names
    assert [name for name in names if name not in words(site / "plugins" / name / "index.html")] == []
