"""The demo as a user runs it, on PostgreSQL."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

COMMAND = (sys.executable, "-m", "clustersql.cli", "demo")


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*COMMAND, *arguments], text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def test_a_standby_is_frozen_and_another_and_the_primary_are_killed_and_every_write_is_there_once(
    tmp_path: Path,
) -> None:
    picture = tmp_path / "run.svg"
    with started("--seconds", "5", "--plain", "--guard", "--svg", str(picture)) as process:
        out, err = process.communicate(timeout=150)
    assert (process.returncode, err) == (0, ""), out
    for words in (
        "SIGSTOP n2 (standby)",
        "SIGCONT n2",
        "kill -9 n3 (standby)",
        "kill -9 n1 (primary)",
        "promoting n2",
        "n1 is back, a standby of n2",
    ):
        assert words in out
    assert re.search(r"after n1 got it\n.*it has committed, so commit\(\) returns\n", out), out
    assert re.search(r"before n1 got it\n.*it never will commit, so TransactionLost", out), out
    assert "of the two rows 1 is there: the guard was right" in out
    assert "outcomes unknown" not in out
    assert out.count("every worker has a good answer again") == 3
    assert re.search(r"^standby n2 frozen:\n  reads good again after .*\n  writes good again after", out, re.M), out
    assert re.search(r"^PROVED: each of the \d\d+ acknowledged writes is in the database exactly once$", out, re.M)
    assert out.rstrip().endswith(
        f"through: standby n2 frozen, standby n3 killed, primary n1 killed\n        drawn: {picture}"
    ), out
    drawn = ElementTree.fromstring(picture.read_text("utf-8"))
    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    for words in ("n1", "n2", "n3", "standby n2 frozen", "standby n3 killed", "primary n1 killed", "n2 promoted"):
        assert words in texts
    assert any("PROVED: each of the" in str(text) for text in texts)
    shown = [each.get("class") for each in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert {"primary", "replica", "down", "s0", "s1", "s2", "read", "write"} <= set(shown)
    assert "errors that the program saw: none" in out, out
    assert all(re.match(r" {0,5}\d+\.\d s  ", line) for line in out.partition("\n\n")[0].splitlines())


def test_ctrl_c_ends_it_with_130_and_stops_the_servers() -> None:
    with started("--seconds", "60") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "all nodes up" in line:
                break
            if ports := re.findall(r"n\d :(\d+)", line):
                used = [int(port) for port in ports]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    for port in used:
        with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
            probe.connect(("127.0.0.1", port))


def test_a_promotion_behind_one_address_and_every_write_is_there_once() -> None:
    with started("--seconds", "2", "--plain", "--one-address") as process:
        out, err = process.communicate(timeout=150)
    assert (process.returncode, err) == (0, ""), out
    assert "n1 is demoted: it takes no writes from now on" in out
    assert "every worker has a good answer again" in out
    assert re.search(r"^PROVED: each of the \d+ acknowledged writes is in the database exactly once$", out, re.M)
    assert "errors that the program saw: none" in out, out
    with started("--engine", "galera", "--one-address") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--one-address is played with postgres alone" in err
