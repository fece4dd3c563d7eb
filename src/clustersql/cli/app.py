"""The commands, each from a file of its own, and what becomes of their errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from ..errors import ClusterError, ConfigError
from ..testing.processes import StartError
from .check.command import check
from .demo.command import demo
from .guard import commit_guard
from .knobs import knobs
from .metrics import metrics
from .route import route
from .top.command import top
from .version import version

__all__ = ["COMMANDS", "app", "run"]

COMMANDS: dict[str, Callable[..., None]] = {
    "check": check,
    "commit-guard": commit_guard,
    "demo": demo,
    "knobs": knobs,
    "metrics": metrics,
    "route": route,
    "top": top,
    "version": version,
}

# Plain help: it reads the same in a pipe, a log and the documentation.
app = typer.Typer(name="clustersql", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)

EXPECTED = (ConfigError, ClusterError, StartError, OSError)
INTERRUPTED = 130


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; before the command.")] = False,
) -> None:
    """One logical connection to a whole SQL cluster."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; return the exit status."""
    debug = list(arguments[:1]) == ["--debug"]
    try:
        app(args=list(arguments), prog_name="clustersql")
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except KeyboardInterrupt:
        print("clustersql: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as exc:
        if debug:
            raise
        print(f"clustersql: {_said(exc)}", file=sys.stderr)
        return 2
    return 0


def _said(exc: Exception) -> str:
    if isinstance(exc, EXPECTED):
        return str(exc).strip() or type(exc).__name__
    return f"{type(exc).__name__}: {exc} (for the traceback: clustersql --debug ...)"
