"""The rooms of the package: who may import whom, what may happen in which, and what `import clustersql` loads.
docs/house.md explains them.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import clustersql
from clustersql import dialects, drivers
from tools.twins import share

ROOT = Path(clustersql.__file__).parent

CORE = "core core/view core/causal core/policies core/recovery core/booking core/statements core/guard"
GROUND = "errors fork"
DRIVEN = f"{GROUND} {CORE} dialects drivers config"
EVERYTHING = f"{DRIVEN} nodes pool connection sync aio reports cluster registry __init__"
READING = f"errors {CORE} config reports cluster registry __init__"
"""For what shows a cluster: a snapshot, figures and events are values of `reports` and `core`, so it has no use for
more.
"""

ROOMS: dict[str, str] = {
    "errors": "",
    "fork": "",
    "core": "errors",
    "core/statements": "errors core",
    "core/view": "errors core",
    "core/causal": "errors core core/view",
    "core/guard": "errors core core/view",
    "core/policies": "errors core core/view",
    "core/recovery": "errors core core/view core/statements",
    "core/booking": "errors core core/view core/statements core/policies core/recovery",
    "dialects": CORE,
    "drivers": f"errors {CORE} dialects",
    "config": f"errors {CORE} dialects",
    "nodes": DRIVEN,
    "pool": f"{DRIVEN} nodes",
    "connection": f"{DRIVEN} nodes pool",
    "sync": f"{DRIVEN} nodes pool connection",
    "aio": f"{DRIVEN} nodes pool connection",
    "reports": f"errors {CORE} nodes",
    "cluster": EVERYTHING,
    "registry": EVERYTHING,
    "__init__": EVERYTHING,
    "telemetry": READING,
    "cli": EVERYTHING,
    "testing": EVERYTHING,
    "integrations": EVERYTHING,
    "dashboard": READING,
}
"""Each room, and the rooms that its files may import beside its own: at load, in a function, or for types only."""

FRONT = {"clustersql.cluster", "clustersql.registry"}
OWN_FILES = {"from_config", "driver_of", "DEFAULT_DRIVER"}
"""What `check` needs of the front beside the public names: it makes clusters of a file and registers none."""

LEAVES = {"telemetry", "cli", "testing", "integrations", "dashboard"}
FLAT = {"__init__.py", "cluster.py", "registry.py", "errors.py", "fork.py", "py.typed"}

ALLOWED = {
    (
        "aio/__init__.py",
        "registry",
    ): "`aio.open` and `aio.connect` are the front of the asyncio API: they look a name up, as `registry.open` does",
    ("cli/metrics.py", "telemetry"): "the command tells what the exporter of several processes does",
    ("cli/app.py", "testing"): "the command ends the servers that a demo has started",
    ("cli/demo/story.py", "testing"): "the demo is a cluster of its own, and `testing` starts it",
    ("cli/demo/command.py", "testing"): "its program and its proof are the public workload",
    ("cli/demo/tally.py", "testing"): "the same",
    ("cli/demo/guard.py", "testing"): "the answers that it cuts go through a proxy of its own",
}
"""Single files that may do what their room may not, each with its reason."""

BLIND = {
    (
        "pool/base.py",
        "pool.upkeep",
    ): "the monitor's rounds stand around the pool: it is ticked, and does not tick itself",
    ("pool/lending.py", "pool.opening"): "who has which connection does not depend on how a new one is opened",
    ("pool/opening.py", "pool.base"): "a dial is begun and taken in, whatever else a pool does",
    **{
        (
            f"{api}/{file}.py",
            f"{api}.{upper}",
        ): "a connection is built of these from the ground up, and each stands without the next"
        for api in ("sync", "aio")
        for file, upper in (("serving", "answers"), ("answers", "ending"), ("ending", "connection"))
    },
    (
        "nodes/kept.py",
        "nodes.inquiry",
    ): "connections are kept for whoever asks: what is asked on them is none of their business",
    ("nodes/kept.py", "nodes.prober"): "the same",
    ("nodes/inquiry.py", "nodes.prober"): "the prober begins the inquiry",
}
"""Files that do not know another one of their room, each with its reason."""

VALUES = set(
    "__future__ abc bisect collections copy dataclasses enum functools heapq ipaddress itertools math operator re types"
    " typing".split()
)
QUIET = ("nodes", "pool", "connection", "reports", "config")
WAITING = {
    "sleep",
    "Thread",
    "Timer",
    "Event",
    "Condition",
    "create_task",
    "run_in_executor",
    "start_new_thread",
    "Popen",
}

MAY_AWAIT = {
    "connection/forwarded.py": "what a driver's own method returns is handed on: where that is awaited, something follows in the same moment",
}


def room_of(*parts: str) -> str:
    """``core/view/node.py`` -> ``core/view``; ``cluster.py`` -> ``cluster``."""
    for depth in (2, 1):
        if (room := "/".join(parts[:depth])) in ROOMS and len(parts) > depth:
            return room
    return parts[0].removesuffix(".py")


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
            for alias in node.names:
                yield (inner if is_module(inner := f"{module}.{alias.name}") else module), id(node) not in lazy


def is_module(name: str) -> bool:
    names = name.split(".")
    path = ROOT.joinpath(*names[1:])
    return names[0] == "clustersql" and (path.is_dir() or path.with_suffix(".py").is_file())


def room_of_module(module: str) -> str | None:
    """The room that an imported module is in; None: it is not ours."""
    names = module.split(".")
    if names[0] != "clustersql":
        return None
    if ROOT.joinpath(*names[1:]).is_dir():
        names = [*names, "__init__"]
    return room_of(*names[1:])


@cache
def edges() -> tuple[tuple[str, str, str, bool], ...]:
    """(file, its room, the imported module, at load) over the whole package."""
    return tuple(
        ("/".join(parts), room_of(*parts), module, at_load)
        for path in sorted(ROOT.rglob("*.py"))
        for parts in [path.relative_to(ROOT).parts]
        for module, at_load in imports(path)
    )


def test_the_top_of_the_package_has_six_files_and_the_rooms() -> None:
    found = {path.name for path in ROOT.iterdir() if path.name != "__pycache__"}
    rooms = {room.split("/")[0] for room in ROOMS if f"{room}.py" not in FLAT}
    assert found - rooms == FLAT


def test_the_core_s_top_holds_only_what_its_rooms_share() -> None:
    assert {path.name for path in (ROOT / "core").glob("*.py")} == {"__init__.py", "faults.py", "steps.py", "words.py"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    may = {room, *ROOMS[room].split()}
    wrong = [
        f"{file} imports {module}"
        for file, own, module, _ in edges()
        if own == room
        and (other := room_of_module(module)) is not None
        and other not in may
        and (file, other) not in ALLOWED
    ]
    assert wrong == []


@pytest.mark.parametrize(("file", "module"), BLIND)
def test_within_a_room_the_arrows_lead_one_way(file: str, module: str) -> None:
    assert [m for f, _, m, _ in edges() if f == file and m == f"clustersql.{module}"] == []
    assert ROOT.joinpath(file).is_file()
    assert is_module(f"clustersql.{module}")


def test_every_exception_is_needed() -> None:
    assert set(ALLOWED) - {(file, room_of_module(module)) for file, _, module, _ in edges()} == set()


def test_the_core_imports_values_only() -> None:
    foreign = [(f, m) for f, room, m, _ in edges() if room.startswith("core") and room_of_module(m) is None]
    assert [(f, m) for f, m in foreign if m.split(".")[0] not in VALUES] == []


@pytest.mark.parametrize("room", ["core", "cluster.py", "registry.py", "sync", "aio", "pool", "nodes", "connection"])
def test_no_rule_asks_for_one_database_or_driver_by_name(room: str) -> None:
    """What differs is data of its dialect or adapter: a comparison with a name would have to be found for each that is
    added.
    """
    names = {*dialects.KNOWN, *drivers.NAMES, *drivers.ASYNC_NAMES}
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} compares with {other.value!r}"
        for path in ([ROOT / room] if room.endswith(".py") else sorted((ROOT / room).rglob("*.py")))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Compare)
        for other in ast.walk(node)
        if isinstance(other, ast.Constant)
        and other.value in names
        and path.relative_to(ROOT).as_posix() != "nodes/dial.py"  # a file has no host: its database is its address
    ]
    assert wrong == []


@pytest.mark.parametrize("room", QUIET)
def test_nothing_waits_or_is_started_outside_the_two_apis(room: str) -> None:
    """Else a rule would hold in one API only, or an event loop would stand still."""
    wrong = [f"{file} imports {module}" for file, own, module, _ in edges() if own == room and module == "asyncio"]
    for path in sorted((ROOT / room).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                wrong += [f"{name}:{node.lineno} calls {called}"] if called in WAITING else []
            if isinstance(node, ast.Await) and name not in MAY_AWAIT:
                wrong.append(f"{name}:{node.lineno} awaits")
    assert wrong == []


def test_third_parties_are_loaded_only_by_leaves() -> None:
    bad = [
        f"{file} imports {module}"
        for file, room, module, at_load in edges()
        if at_load
        and room_of_module(module) is None
        and module.split(".")[0] not in sys.stdlib_module_names
        and room not in LEAVES
    ]
    assert bad == []


def private_names(room: Path) -> set[str]:
    """The private names that the files of a room give: to attributes, functions, classes and values."""
    found: set[str] = set()
    for path in room.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return {name for name in found if is_private(name)}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_a_leaf_reads_no_private_name(leaf: str) -> None:
    """What the exporters and commands need must be public, or somebody else's exporter could not be written.

    Its own objects' private names a leaf may read, but where another room gives the same name the object may be that
    room's.
    """
    own = private_names(ROOT / leaf)
    others: set[str] = set()
    for room in {room.split("/")[0] for room in ROOMS} - {leaf}:
        others |= private_names(ROOT / room)
    others |= {name for file in ("cluster", "registry") for name in private_in(ROOT / f"{file}.py")}
    wrong = []
    for path in sorted((ROOT / leaf).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                mine = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
                if not mine and (node.attr in others or node.attr not in own):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} reads {ast.unparse(node)}")
            elif isinstance(node, ast.ImportFrom):
                wrong += [
                    f"{path.relative_to(ROOT)}:{node.lineno} imports {a.name}" for a in node.names if is_private(a.name)
                ]
    assert wrong == []


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_a_leaf_uses_of_the_front_what_every_program_has(leaf: str) -> None:
    """A cluster tells its leaves what it tells a program: `snapshot`, `metrics`, `events`.  There is no way
    past these.
    """
    wrong = [
        f"{path.relative_to(ROOT)} takes {name} of {module}"
        for path in sorted((ROOT / leaf).rglob("*.py"))
        for module, name in taken(path)
        if module in FRONT
        and name not in clustersql.__all__
        and (path.relative_to(ROOT).as_posix(), name) not in {("cli/check/command.py", own) for own in OWN_FILES}
    ]
    assert wrong == []


def taken(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) for each name that a file imports, and for each attribute of a module that it imports whole."""
    package = ("clustersql", *path.relative_to(ROOT).parts[:-1])
    tree = ast.parse(path.read_text("utf-8"))
    whole: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            for alias in node.names:
                if is_module(inner := f"{module}.{alias.name}"):
                    whole[alias.asname or alias.name] = inner
                else:
                    yield module, alias.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in whole:
            yield whole[node.value.id], node.attr


def private_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    stored = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    stored |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return {name for name in stored if is_private(name)}


def test_what_is_written_in_both_apis_becomes_no_more() -> None:
    """35 %, of which imports and signatures are a part (docs/design/0009): what is added to both stands in one place, or
    has a reason.
    """
    assert share() < 0.37


def loaded_by(code: str) -> list[str]:
    """What a new interpreter has loaded after this, beyond what it begins with."""
    code = f"import sys; before = set(sys.modules); {code}; print(*sorted(set(sys.modules) - before))"
    told = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return told.stdout.split()


def test_no_pattern_repeats_a_group_possessively() -> None:
    """Where it fails midway the first releases of Python 3.11 match too much; one character may be repeated so."""
    files = [path for path in ROOT.rglob("*.py") if re.search(r"\)(?:[*+?]|\{[0-9,]+\})\+", path.read_text("utf-8"))]
    assert files == []


def test_importing_clustersql_loads_no_driver_no_asyncio_no_third_party() -> None:
    loaded = loaded_by("import clustersql; clustersql.Cluster, clustersql.Credentials, clustersql.open")
    assert "clustersql.cluster" in loaded
    tops = {name.split(".")[0] for name in loaded} - {"clustersql"}
    assert sorted(tops - set(sys.stdlib_module_names)) == []
    assert tops.isdisjoint({"asyncio", "sqlite3", "http", "socketserver"}), tops
    shared = {"contract", "base"}
    assert [m for m in loaded if m.startswith("clustersql.drivers.") and m.split(".")[2] not in shared] == []


def test_importing_clustersql_alone_loads_less_than_asyncio() -> None:
    """A time would depend on the machine: so what is loaded."""
    loaded = loaded_by("import clustersql; from clustersql import ConfigError")
    assert [name for name in loaded if name.startswith("clustersql")] == ["clustersql", "clustersql.errors"]
    assert len(loaded) < len(loaded_by("import asyncio"))


def test_the_front_tells_all_its_names_and_no_others() -> None:
    code = "import clustersql; names = dir(clustersql); from clustersql import *; print(*names); print(open is clustersql.open)"
    names, found, _ = subprocess.run(
        [sys.executable, "-c", f"{code}; print()"], capture_output=True, text=True, check=True
    ).stdout.split("\n", 2)
    assert set(clustersql.__all__) <= set(names.split())
    assert found == "True"
    with pytest.raises(AttributeError, match=r"module 'clustersql' has no attribute 'opne'"):
        clustersql.opne  # type: ignore[attr-defined]  # noqa: B018
