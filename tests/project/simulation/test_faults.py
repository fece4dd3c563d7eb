"""The fault simulation: some hundreds of seeds, the seeds that were kept, and the checker itself.

The runs are processes of their own, because the simulation takes the place of time, threads and chance in the library.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulation.faults.breakages import BREAKAGES
from simulation.faults.flavours import POSTGRESQL
from simulation.faults.history import FAILED, OK, UNKNOWN, History, check
from simulation.faults.loop import Loop
from simulation.faults.replication import Servers
from simulation.faults.servers import Entry

ROOT = Path(__file__).parents[3]
CORPUS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "corpus.json").read_text())
FOUND = (73443, 139, 9767, 22150, 23176, 28113, 10429, 10629, 16852, 24010)
"""Seeds that found a defect: a deadlock that the function of `run` had swallowed was forgotten for a later error, and
the rest committed; an exception that broke into the return of a connection, after its COMMIT, looked like a failure of
the work; the simulated standby itself that slept through two promotions (below); a connection for orders that was lent
with an answer pending; an exception that broke into a return, and hid that nobody knew how its COMMIT had ended; and
five of the simulation itself: a failover to an older history, an attempt in a journal that was thrown away, a primary
that was demoted without a start, two attempts that an old primary held back, and a standby that went back without one.
"""
SEEDS = 300
ENOUGH = 600
"""Seeds within which a breakage is found; the one that was kept comes first, and finds it while the library draws its
chances as it does now.
"""


def run(*arguments: str, hashes: str = "0") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "simulation.faults", "--jobs", "1", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": hashes}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_what_is_reported_is_true_for_some_hundreds_of_seeds() -> None:
    done = run("--seeds", str(SEEDS))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


def test_the_seeds_that_were_kept_are_fine() -> None:
    done = run(*(f"--seed={seed}" for seed in (*FOUND, *(entry["seed"] for entry in CORPUS))))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: str(entry["breakage"]))
def test_a_broken_rule_is_seen(entry: dict[str, Any]) -> None:
    done = run("--break", entry["breakage"], "--first", str(entry["seed"]), "--seeds", str(ENOUGH), "--most", "1")
    assert done.returncode == 1, done.stdout
    assert "!!" in done.stdout  # the history is shown
    assert "again by: python -m simulation.faults" in done.stderr


def test_every_breakage_has_its_seed() -> None:
    assert sorted(entry["breakage"] for entry in CORPUS) == sorted(BREAKAGES)
    assert [entry["why"] for entry in CORPUS] == [BREAKAGES[entry["breakage"]].why for entry in CORPUS]


def test_a_seed_is_the_same_history_in_every_process() -> None:
    seeds = [f"--seed={entry['seed']}" for entry in CORPUS]
    first, second = (run("-v", *seeds, hashes=hashes).stdout for hashes in ("1", "2"))
    told = [[line for line in text.splitlines() if "per second" not in line] for text in (first, second)]
    assert told[0] == told[1]
    assert len(told[0]) > 100


def checked(
    claims: dict[str, str],
    happened: list[tuple[str, ...]],
    kept: int | None = None,
    lost: set[str] = frozenset(),  # type: ignore[assignment]
    groups: list[tuple[str, ...]] = [],  # noqa: B006 - never changed
) -> list[str]:
    """Return what the checker finds: ``happened`` are transactions, of which the first ``kept`` are left."""
    history = History(lambda: 0.0)
    history.claims.update(claims)
    history.groups += groups
    chance = random.Random(0)
    servers = Servers(Loop(chance), chance, POSTGRESQL, synchronous=False, durable=True, told=lambda text: None)
    for tokens in happened:
        servers.commit(servers.leader, None, Entry(1, tuple(("a", token) for token in tokens)), lambda: None)  # type: ignore[arg-type]
    del servers.leader.log[len(happened) if kept is None else kept :]
    servers.lost.update(lost)
    check(history, servers)
    return history.wrong


def test_the_checker_accepts_what_is_true() -> None:
    claims = {"x1": OK, "x2": OK, "x3": FAILED, "x4": UNKNOWN, "x5": UNKNOWN}
    assert checked(claims, [("x1", "x2"), ("x4",)], groups=[("x1", "x2")]) == []


@pytest.mark.parametrize(
    ("claims", "happened", "kept", "what"),
    [
        ({"x1": FAILED}, [("x1",)], None, "reported failed, but it happened"),
        ({"x1": OK}, [], None, "reported committed, but it never happened"),
        ({"x1": OK}, [("x1",)], 0, "reported committed, but it is missing"),
        ({"x1": OK}, [("x1",), ("x1",)], None, "happened twice"),
        ({"x1": "open"}, [], None, "was never reported"),
    ],
)
def test_the_checker_finds(
    claims: dict[str, str], happened: list[tuple[str, ...]], kept: int | None, what: str
) -> None:
    wrong = checked(claims, happened, kept)
    assert len(wrong) == 1
    assert what in wrong[0]


def test_the_checker_finds_a_part_of_a_transaction() -> None:
    assert "only x1" in checked({"x1": OK, "x2": UNKNOWN}, [("x1",)], groups=[("x1", "x2")])[0]


@pytest.mark.parametrize(
    ("kind", "synchronous", "durable", "lost", "is_wrong"),
    [
        ("unseen", False, True, True, True),
        ("unseen", True, True, False, True),
        ("unseen", False, False, True, False),
        ("unseen", False, False, False, True),
        ("again", False, True, False, True),
        ("again", False, True, True, False),
        ("again", True, True, False, False),
    ],
)
def test_the_checker_finds_what_a_view_did_not_show(
    kind: str, synchronous: bool, durable: bool, lost: bool, is_wrong: bool
) -> None:
    """What a failover has lost is no excuse for what was written through it; the end of a journal that a crash has lost
    is, for nobody can tell.
    """
    history = History(lambda: 0.0)
    getattr(history, kind).append(("r", "r1"))
    chance = random.Random(0)
    servers = Servers(
        Loop(chance), chance, POSTGRESQL, synchronous=synchronous, durable=durable, told=lambda text: None
    )
    servers.lost.update({"r1"} if lost else ())
    check(history, servers)
    assert bool(history.wrong) is is_wrong


def test_what_asynchronous_replication_lost_is_not_our_fault() -> None:
    assert checked({"x1": OK}, [("x1",)], kept=0, lost={"x1"}) == []


def test_a_standby_that_slept_through_promotions_keeps_what_it_confirmed() -> None:
    chance = random.Random(1)
    loop = Loop(chance)
    servers = Servers(loop, chance, POSTGRESQL, synchronous=True, durable=True, told=lambda text: None)
    first, slept, third = servers.nodes
    slept.frozen = True
    servers.promote()
    servers.promote()
    assert servers.leader is first
    servers.thaw(slept)
    third.frozen = True
    done: list[bool] = []
    servers.commit(first, None, Entry(1, (("a", "x1"),)), lambda: done.append(True))  # type: ignore[arg-type]
    loop.rest(1.0)
    third.frozen = False
    servers.cuts.update({frozenset(("n0", "n1")), frozenset(("n0", "n2"))})
    servers.promote()
    assert done == [True]
    assert [token for entry in servers.leader.log for _, token in entry.writes] == ["x1"]
    assert servers.lost == set()
