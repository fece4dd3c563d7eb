"""Write ``docs/cli.md``: the commands and their ``--help``.  ``python -m clustersql.cli.docs [FILE]``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest.mock import patch

from typer.testing import CliRunner

from .app import COMMANDS, app

__all__ = ["FILE", "page"]

FILE = "docs/cli.md"

HEAD = """\
# The command line

    pip install "clustersql[cli]"        # check, commit-guard, knobs, metrics, route, version
    pip install "clustersql[top]"        # and top
    pip install "clustersql[demo]"       # and a PostgreSQL server for the demo

`clustersql COMMAND`, or `python -m clustersql.cli COMMAND`. The exit status is 0 when all is good, 1 when `check` has findings or `demo`
proves a write lost, 2 when the command cannot run, 130 after Ctrl-C. An error is one clear line; `clustersql --debug COMMAND` shows its traceback.

This page is written by `python -m clustersql.cli.docs`, and a test keeps it in step.
"""

MORE = {
    "check": """\
Reads a configuration file in either form. `clustersql check config.toml` asks every node of every cluster, all at
once, and each question has a deadline, so that a frozen node costs seconds. A node that cannot be reached, or that refuses the login, is
a finding; the check goes on with the others.

* *Notes* are worth knowing and leave the exit status as it is: different versions; a replica that is more than 16 MB of log behind; and
  settings that weaken a guarantee:

  | setting | what it means |
  |---|---|
  | PostgreSQL `synchronous_standby_names` empty | Standbys follow when they can: what the primary acknowledged and did not send yet is lost with it. |
  | PostgreSQL `synchronous_commit` `off` | A commit is acknowledged before it is on disk: a crash loses the latest ones. |
  | PostgreSQL `synchronous_commit` `local` | No standby is waited for, whatever `synchronous_standby_names` says. |
  | PostgreSQL `fsync` `off` | A crash of the machine may lose commits, or the database. |
  | MariaDB, MySQL `innodb_flush_log_at_trx_commit` `0` or `2` | A commit is acknowledged before it is on disk. On Galera it is lost only when all nodes crash at once. |
  | Galera with `writer = "any"`: `wsrep_sync_wait` `0` | A read on one node may not see what was just committed on another. |
  | Galera with `writer = "any"`: `innodb_snapshot_isolation` `OFF` | A transaction may overwrite a change that it has not seen. |
* *Findings* need a person: a node that is not reachable, refuses the login, is not ready, or whose clock is more than 1 s off; one that is kept
  out because its history is older than the newest one, or that of another database (epoch); with `max_lag` a standby of PostgreSQL whose
  user may not see which timeline it receives (`pg_monitor`; otherwise a note); a table that
  cannot be created; a change that other nodes do not show in time; transactions that fail; no node, or (PostgreSQL) more than one, that
  accepts writes; pools that may open more connections on one node than it has room for.

With `discover` the members that the nodes report are checked as well, and noted with what they were reported as. A member that does not
answer, a missing privilege and a map that maps nothing are findings; a member without an address that others can use, and a key of
`address_map` that matches nothing now, are notes. So is a host name that leads to several addresses, and, where the cluster has a [`zone`](guide.md#zones), that no node or only
one is in it, or that the zone of a node is not known. With `discover = "patroni"` Patroni is asked; where it cannot be, or is wrong, that is a
finding, and its pause a note.

On PostgreSQL the primary is written to and the standbys are watched; on Galera each node is written to in turn.
""",
    "route": """\
`->` is before the node that would serve. *expected* is for how long an answer is expected to take there. What speaks against a node is told per
axis, with why; a node of which it says that the policy put it behind could have served as well. With `--after` it says how the node is known to
have what the bookmark stands for; with the commit guard, whether a COMMIT there is guarded. A program has the same of a connection that it holds
(`conn.route`), of a result (`db.execute(...).route`) and in advance (`db.route()`).
""",
    "metrics": """\
Prints once, or answers every path at `--port` until Ctrl-C. It needs `pip install "clustersql[prometheus]"`; how the processes publish their figures
is on the page [Observing](observing.md#several-processes-behind-one-port). It listens on loopback unless `--expose` is said.
""",
    "top": """\
*per s* and *share* are of checkouts, over the last 5 s; *response* is the estimate of what a statement takes, as the latency policy has it. What is
unwell is yellow, what is down or can serve nobody is red. The arrows mark a node, of which everything is told below the table, and scroll a table that
is wider than the terminal. `--url` takes where `serve()` of a program listens, `http://127.0.0.1:8080`; a program that cannot be reached later is
named at the top, and the screen goes on with the others.
""",
    "demo": """\
Starts servers of its own on free ports of 127.0.0.1, below a temporary folder, and stops them at the end, also after Ctrl-C. `--engine
postgres` needs nothing but `pip install "clustersql[demo]"`; `--engine galera` needs `apt-get install mariadb-server galera-4 rsync` and
`pip install "clustersql[pymysql]"`. `--svg FILE` draws the run: what clustersql believed of each node, who served which share, how the operations of
each second ended, and what was done to the nodes.

With `--guard` the cluster has the [commit guard](guard.md), and before the story the answers of two COMMITs are cut on their way, of one after the
server got it and of one before: the first `commit()` returns, the second raises `TransactionLost`, and the table has the one row.

A node is frozen first (SIGSTOP: it accepts connections and answers nothing, as a hung host does) and continued, then others are killed. Whoever
waits for the frozen one is woken after `stall_after` and a probe without an answer, some 3 seconds in all.

With `--one-address` all servers stand [behind one address](address.md), as of a Kubernetes Service. The primary is demoted, lives on and keeps
its sessions; a standby is promoted; the address leads to both for a while, then to the new primary alone.

Each write inserts a row with a number of its own and raises a counter in the same transaction. At the end the rows and counters are read
by an administrator's connection, not through clustersql, and compared with what the program was told: acknowledged writes are there
once, writes reported failed are not there. An `OutcomeUnknown` is counted apart: it may have happened or not, and the program was told so.
The PostgreSQL standbys are synchronous (`ANY 1`), because with asynchronous replication the database itself may lose what it acknowledged.
""",
}


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for name in COMMANDS:
        text = f"## clustersql {name}\n\n```text\n{_help(name)}\n```\n"
        parts.append(text + (f"\n{MORE[name]}" if name in MORE else ""))
    return "\n".join(parts)


def _help(name: str) -> str:
    with patch.dict(os.environ, {"COLUMNS": "80"}):
        result = CliRunner().invoke(app, [name, "--help"], prog_name="clustersql")
    return "\n".join(line.rstrip() for line in result.output.strip().splitlines())


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else FILE).write_text(page(), encoding="utf-8")
