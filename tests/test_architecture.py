"""Section 3 of the design, read from the syntax trees of the installed package: who may import whom, and how big."""

from __future__ import annotations

import ast
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import sessionguard

pytestmark = pytest.mark.once

ROOT = Path(sessionguard.__file__).parent
FILES = {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}

FLOORS = {
    "cli": 9,
    "testing": 8,
    "serving": 8,
    "proxy": 8,
    "__init__": 7,
    "middleware": 6,
    "admission": 5,
    "plugins": 5,
    "policy": 4,
    "stores/__init__": 4,
    "stores/disk": 3,
    "stores/sqlite": 3,
    "resolver": 4,
    "liveness": 3,
    "moving": 3,
    "openclaw": 3,
    "observers": 3,
    "settings": 2,
    "hookspecs": 2,
    "attempts": 2,
    "touches": 2,
    "copying": 2,
    "lifespan": 2,
    "stores/memory": 2,
    "stores/embedded": 2,
    "kinds": 1,
    "keys": 1,
    "freshness": 1,
    "codec": 1,
    "deadlines": 1,
    "asgi": 1,
    "loops": 1,
    "store": 1,
    "bounded": 0,
    "durations": 0,
    "ear": 0,
    "errors": 0,
    "leases": 0,
    "minting": 0,
    "records": 0,
    "reserving": 3,
    "singleflight": 0,
}
LIBRARIES = {
    "anyio": {"proxy"},
    "asgiref": {"asgi", "testing"},
    "diskcache": {"stores/disk"},
    "httpx": {"proxy", "testing", "cli"},
    "ijson": {"cli"},
    "msgpack": {"codec"},
    "platformdirs": {"stores/embedded", "cli"},
    "pluggy": {"hookspecs", "openclaw", "stores/__init__", "plugins"},
    "pytest": {"testing"},
    "pytest_sessionguard": {"testing"},
    "rich": {"cli"},
    "typer": {"cli"},
    "uvicorn": {"cli"},
    "websockets": {"proxy"},
}
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 220, 40


class Import(NamedTuple):
    """`importer` needs `module` when it runs; both are dotted or slashed names, as they come."""

    importer: str
    module: str
    line: int


def _part_of(name: str) -> str | None:
    candidates = (name, name.rpartition("/")[0], name.partition("/")[0])
    return next((part for part in candidates if part in FLOORS), None)


def part_of(name: str) -> str:
    """Return the part of the design that contains a file: the file itself, or its folder."""
    part = _part_of(name)
    assert part is not None, f"{name} has no floor"
    return part


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if not _is_for_types(node):
            yield node
            yield from _executed(node)


def imports_in(name: str, tree: ast.AST) -> Iterator[Import]:
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            yield from (Import(name, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield from (Import(name, f"{module}.{alias.name}", node.lineno) for alias in node.names)


IMPORTS = [each for name, tree in TREES.items() for each in imports_in(name, tree)]


def file_of(module: str) -> str:
    """The file of ours that an import executes: a module, a package, or the module an imported name is in."""
    path = module.removeprefix("sessionguard").lstrip(".").replace(".", "/")
    candidates = [path, f"{path}/__init__", path.rpartition("/")[0], f"{path.rpartition('/')[0]}/__init__", "__init__"]
    return next(candidate.lstrip("/") for candidate in candidates if candidate.lstrip("/") in FILES)


OURS = [each for each in IMPORTS if each.module.partition(".")[0] == "sessionguard"]
THEIRS = [
    each
    for each in IMPORTS
    if each.module.partition(".")[0] not in {"sessionguard", "__future__", *sys.stdlib_module_names}
]


def test_every_file_has_a_floor() -> None:
    """A file that is new to the design is put into its picture first."""
    assert [name for name, tree in TREES.items() if tree.body and _part_of(name) is None] == []


def test_imports_go_strictly_downwards() -> None:
    """Siblings never meet, and nobody looks up; imports for type checking only are exempt."""
    upwards = [
        f"{importer}:{line} (floor {FLOORS[part_of(importer)]}) imports {target} (floor {FLOORS[part_of(target)]})"
        for importer, module, line in OURS
        if part_of(target := file_of(module)) != part_of(importer)
        and FLOORS[part_of(target)] >= FLOORS[part_of(importer)]
    ]
    assert upwards == []


def test_the_imports_are_really_seen() -> None:
    """A reader of syntax trees that reads nothing would agree with everything."""
    seen = {(part_of(importer), part_of(file_of(module))) for importer, module, _ in OURS}
    known = {
        ("middleware", "asgi"),
        ("middleware", "plugins"),
        ("stores/__init__", "stores/memory"),
        ("stores/__init__", "stores/disk"),
        ("plugins", "stores/__init__"),
        ("serving", "__init__"),
    }
    assert known <= seen
    assert ("stores/__init__", "settings") not in seen


def test_a_library_is_imported_only_where_the_design_has_it() -> None:
    """A new dependency is a decision, and has a place."""
    strays = [
        f"{importer}:{line} imports {module}"
        for importer, module, line in THEIRS
        if part_of(importer) not in LIBRARIES.get(module.partition(".")[0], set())
    ]
    assert strays == []


def test_every_library_of_the_design_is_imported() -> None:
    """A library that is gone leaves the table."""
    assert set(LIBRARIES) - {each.module.partition(".")[0] for each in THEIRS} == set()


def test_imports_are_absolute() -> None:
    """One way to write a name, the one these tests can read."""
    relative = [
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_no_file_is_too_long() -> None:
    """One noun a file."""
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_function_is_too_long() -> None:
    """A function fits on a screen."""
    long = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno >= MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    """A drawer for everything is a place for nothing."""
    assert not {"utils", "common", "base", "manager", "helpers"} & {part for name in FILES for part in name.split("/")}


def test_nothing_is_validated_by_assert() -> None:
    """`python -O` drops asserts; only the tests for plugin authors are made of them."""
    asserts = [
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert) and part_of(name) != "testing"
    ]
    assert asserts == []


def test_the_root_only_re_exports() -> None:
    """A docstring, imports from our own files, and `__all__`."""
    docstring, *imports, names = TREES["__init__"].body
    assert isinstance(docstring, ast.Expr)
    assert all(isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sessionguard.") for node in imports)
    assert ast.unparse(names).startswith("__all__ = ")


def test_the_public_names_are_sorted_and_complete() -> None:
    """`__all__` lists exactly what the root imports."""
    imported = itertools.chain.from_iterable(
        (alias.asname or alias.name for alias in node.names)
        for node in TREES["__init__"].body
        if isinstance(node, ast.ImportFrom)
    )
    assert sorted(imported) == list(sessionguard.__all__)
