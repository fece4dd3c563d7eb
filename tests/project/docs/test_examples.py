"""The programs on the pages run as written, on real servers; see `pages` for the comments that say how."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from project.docs.pages import Block, Program, blocks, located, programs

from clustersql.config.file import read

PATIENCE = 120.0
"""Seconds that a program may take."""
OTHERS = ("docs/cli.md", "docs/recipes.md", "docs/tls.md")
"""Pages with tests of their own."""
AWAITING = str(Path(__file__).with_name("awaiting.py"))


@pytest.mark.parametrize("program", programs(), ids=lambda p: f"{p.page}-{p.name}".replace(" ", "-"))
def test_program_runs_as_written(program: Program, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    file = tmp_path / ("test_example.py" if program.needs == "pytest" else "example.py")
    file.write_text(placed(program, request), "utf-8")
    run = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if program.needs == "pytest" else []
    run += [AWAITING] if program.awaits else []
    command = [sys.executable, "-W", "error", *run, file.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    said = f"{program.page}, program {program.name!r}:\n{done.stdout}{done.stderr}"
    assert done.returncode == 0, said
    assert done.stderr == "", said
    if program.needs != "pytest":
        assert done.stdout.splitlines() == program.output, said


def placed(program: Program, request: pytest.FixtureRequest) -> str:
    """Return the program with the addresses of the servers that it needs."""
    if program.needs not in ("postgres", "galera"):
        return program.text
    cluster = request.getfixturevalue(f"{program.needs}_cluster")
    cluster.heal()
    return located(program.text, cluster.port)


@pytest.mark.parametrize("block", [b for b in blocks("python") if b.page not in OTHERS], ids=lambda b: b.page)
def test_every_block_says_whether_it_is_run(block: Block) -> None:
    marker = block.marker or ""
    needs = marker.removeprefix("run: ").split()
    assert marker.startswith("not run: ") or needs[:1] in [
        ["postgres"],
        ["galera"],
        ["sqlite"],
        ["nothing"],
        ["pytest"],
    ]


@pytest.mark.parametrize("block", [b for b in blocks("toml") if b.page not in OTHERS], ids=lambda b: b.page)
def test_every_configuration_file_loads(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZONE", "eu-1a")  # which zone a program runs in is a mistake where it is not known
    file = tmp_path / "config.toml"
    file.write_text(block.text, "utf-8")
    assert tomllib.loads(block.text)
    assert all(cluster.nodes for cluster in read(file))
