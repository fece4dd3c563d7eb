"""The arrows of the design: who may import whom, and what `import clustersql` loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import clustersql

ROOT = Path(clustersql.__file__).parent
VALUES = set(
    "__future__ abc bisect collections dataclasses enum functools heapq itertools math operator re types typing".split()
)
LEAVES = {"telemetry", "integrations", "cli", "dashboard", "testing"}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Each imported module by its full name, and whether that happens when the file is loaded."""
    package = ("clustersql", *path.relative_to(ROOT).parts[:-1])
    tree = ast.parse(path.read_text("utf-8"))
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            if node.module and module != "clustersql":
                yield module, id(node) not in lazy
            else:
                yield from ((f"{module}.{alias.name}", id(node) not in lazy) for alias in node.names)


def edges() -> Iterator[tuple[str, str, str, bool]]:
    """(file, its part, the imported module, at load) over the whole package."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        for module, at_load in imports(path):
            yield "/".join(parts), parts[0] if len(parts) > 1 else "", module, at_load


def part_of(module: str) -> str | None:
    names = module.split(".")
    return (names[1] if len(names) > 1 else "") if names[0] == "clustersql" else None


def allowed(part: str, may: set[str]) -> list[str]:
    return [
        f"{file} imports {m}" for file, own, m, _ in edges() if own == part and part_of(m) not in {None, part, *may}
    ]


def test_the_core_imports_values_only() -> None:
    assert allowed("core", {"errors"}) == []
    foreign = [(f, m) for f, part, m, _ in edges() if part == "core" and part_of(m) is None]
    assert [(f, m) for f, m in foreign if m.split(".")[0] not in VALUES] == []


def test_dialects_know_the_core_and_drivers_know_dialects() -> None:
    assert allowed("dialects", {"core"}) == []
    assert allowed("drivers", {"core", "dialects", "errors"}) == []


def test_sync_and_aio_never_meet() -> None:
    bad = [(f, m) for f, part, m, _ in edges() if {part, part_of(m)} == {"sync", "aio"}]
    assert bad == []


def test_nobody_imports_a_leaf() -> None:
    demo = {("cli", "testing")}
    bad = [
        f"{file} imports {module}"
        for file, part, module, _ in edges()
        if (leaf := part_of(module)) in LEAVES and leaf != part and (part, leaf) not in demo
    ]
    assert bad == []


def test_third_parties_are_loaded_only_by_leaves() -> None:
    bad = [
        f"{file} imports {module}"
        for file, part, module, at_load in edges()
        if at_load
        and part_of(module) is None
        and module.split(".")[0] not in sys.stdlib_module_names
        and part not in LEAVES
    ]
    assert bad == []


def test_importing_clustersql_loads_no_driver_no_asyncio_no_third_party() -> None:
    code = "import sys; before = set(sys.modules); import clustersql; print(*sorted(set(sys.modules) - before))"
    told = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    loaded = told.stdout.split()
    tops = {name.split(".")[0] for name in loaded} - {"clustersql"}
    assert sorted(tops - set(sys.stdlib_module_names)) == []
    assert tops.isdisjoint({"asyncio", "sqlite3", "http", "socketserver"}), tops
    adapters = {"psycopg", "pymysql", "mysqlclient", "mysqlconnector", "mariadb", "sqlite3", "dbapi"}
    assert [m for m in loaded if m.startswith("clustersql.drivers.") and m.split(".")[2] in adapters] == []
