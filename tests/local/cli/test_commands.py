"""The command line itself: bad input, missing packages, and the page that describes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import clustersql
from clustersql.cli.app import COMMANDS
from clustersql.cli.docs import page
from clustersql.config.knobs import KNOBS

OURS = '[clusters.shop]\ndriver = "psycopg"\n[[clusters.shop.nodes]]\nname = "a"\nurl = "postgresql://a@b/c"\n'
ANCESTOR = '[[Nodes]]\nName="a"\nHostName="h"\nPort=1\nUserName="u"\nDBName="d"\n'


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        (None, (), "config.toml: cannot be read: No such file or directory; name a file or set DBCONFIG"),
        ("", (), "config.toml: is empty: add [clusters.NAME]"),
        ("x = ", (), "config.toml:1:5: no valid TOML"),
        (OURS, ("--cluster", "shpo"), "config.toml: no cluster 'shpo'; it has shop"),
        (OURS, ("--name", "shpo"), "no cluster 'shpo'; did you mean shop?"),
        (ANCESTOR, ("--name", "a", "--cluster", "b"), "--name a and --cluster b contradict each other"),
        (OURS, ("--driver", "psycop"), "driver 'psycop' is not known, and there is no module of that name"),
        (OURS, ("--driver", "pymysql"), "node 'a'"),
        (OURS.replace("psycopg", "json"), (), "'json' is no PEP 249 module"),
    ],
)
def test_bad_input_is_one_clear_line_and_status_2(
    content: str | None,
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    cli: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("config.toml").write_text(content)
    ran = cli("check", "--json", *arguments)
    assert (ran.status, ran.out) == (2, "")
    [line] = ran.err.splitlines()
    assert line.startswith("clustersql: ")
    assert said in line


@pytest.mark.parametrize(
    "wrong", [("chek",), ("check", "--timeout", "x"), ("demo", "--nodes", "1"), ("demo", "--engine", "x")]
)
def test_a_wrong_command_line_is_status_2(wrong: tuple[str, ...], cli: Callable) -> None:
    ran = cli(*wrong)
    assert (ran.status, ran.out) == (2, "")
    assert "Error: " in ran.err
    assert "Traceback" not in ran.err


def test_debug_shows_the_traceback(cli: Callable) -> None:
    with pytest.raises(clustersql.ConfigError, match="cannot be read"):
        cli("--debug", "check", "/nowhere.toml")


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_a_missing_package_is_named_with_its_remedy(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from clustersql.cli.__main__ import main; main()"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert ran.stderr == f'clustersql: the command line needs {package}: pip install "clustersql[cli]"\n'


def test_version_and_knobs(cli: Callable) -> None:
    assert cli("version").out.startswith(f"clustersql {clustersql.__version__} (Python 3.")
    shown = cli("knobs").out
    assert all(name in shown for name in KNOBS)
    assert max(map(len, shown.splitlines())) <= 80


def test_the_page_is_in_step_with_the_commands() -> None:
    file = Path(__file__).parents[3] / "docs" / "cli.md"
    assert file.read_text(encoding="utf-8") == page(), "run: python -m clustersql.cli.docs"
    assert all(f"## clustersql {name}\n" in page() for name in COMMANDS)
