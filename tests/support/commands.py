"""What the tests of the command line share."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from clustersql.cli.app import run

COMMAND = (sys.executable, "-m", "clustersql.cli")


class Ran(NamedTuple):
    """A command that ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output as JSON, the only cluster of it."""
        [cluster] = json.loads(self.out)["clusters"]
        return cluster

    @property
    def findings(self) -> list[tuple[str, str]]:
        """Its findings as node and text."""
        return [(finding["node"], finding["what"]) for finding in self.json["findings"]]


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A command that a test starts may be interrupted, also where the tests run behind ``&`` or nohup: there it would
    inherit SIGINT ignored.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run a command in this process, as on a terminal of 80 columns without colours."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("DBCONFIG", raising=False)

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        status = run([os.fspath(each) if isinstance(each, os.PathLike) else str(each) for each in arguments])
        return Ran(status, *capsys.readouterr())

    return call
