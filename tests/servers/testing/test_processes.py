"""Ports, process families, and that nothing outlives the program that started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.waiting import eventually

from clustersql.testing import StartError, watchdog
from clustersql.testing.ports import free_ports
from clustersql.testing.processes import Account, make_directory, reachable

CHILD = """
import os, sys, time
from clustersql.testing import PostgresCluster
if __name__ == "__main__":
    cluster = PostgresCluster(2)
    cluster.start()
    cluster.freeze("n2")
    {more}
    print(cluster.directory, *(cluster.pid(name) for name in cluster.nodes), flush=True)
    time.sleep(60)
"""


def test_ports_are_free_distinct_and_no_client_s() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert max(ports) < 32768
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", ports[0]))


def test_family_is_read_alike_from_proc_and_ps() -> None:
    shell = subprocess.Popen(["sh", "-c", "sleep 30 & sleep 30 & wait"], start_new_session=True)
    try:
        assert eventually(lambda: len(watchdog.family(shell.pid)) == 3)
        children = watchdog.family(shell.pid)[1:]
        table = watchdog._from_ps()
        assert [table[pid][0] for pid in children] == [shell.pid] * 2
        assert watchdog.started(shell.pid)
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    assert watchdog.started(shell.pid) == ""
    assert watchdog._from_ps("-p", str(shell.pid)) == {}


def test_a_dead_process_is_no_process() -> None:
    ended = subprocess.Popen(["true"])
    assert eventually(lambda: watchdog.started(ended.pid) == "")  # a zombie until we wait
    ended.wait()


def test_a_folder_the_server_s_user_cannot_reach_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    nobody = Account(65534, 65534)
    assert not reachable(closed, nobody)
    assert reachable(closed, Account())
    with pytest.raises(StartError, match=r"closed.* cannot be reached by the user"):
        make_directory(nobody, closed, "x")


@pytest.mark.parametrize(
    ("more", "signum"),
    [("", signal.SIGKILL), ("os.fork() or time.sleep(6) or os._exit(0)", signal.SIGKILL), ("", signal.SIGTERM)],
    ids=["killed", "killed-with-a-forked-child", "terminated"],
)
def test_servers_and_folder_go_when_the_program_dies(more: str, signum: int) -> None:
    program = textwrap.dedent(CHILD).format(more=more)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        folder, *pids = child.stdout.readline().split()
        families = [pid for root in pids for pid in watchdog.family(int(root))]
        assert len(families) > 4
        assert Path(folder).is_dir()
        child.send_signal(signum)
        child.wait()
        assert eventually(lambda: not any(watchdog.started(pid) for pid in families))
        assert eventually(lambda: not Path(folder).exists())


def test_a_cluster_closed_in_a_forked_child_stays_up_in_the_parent() -> None:
    program = """
        import os
        from clustersql.testing import PostgresCluster
        with PostgresCluster(1) as cluster:
            child = os.fork()
            if child == 0:
                cluster.close()
                os._exit(0)
            os.waitpid(child, 0)
            print(cluster.execute("n1", "SELECT 1"), cluster.state("n1"))
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[(1,)] running\n", "")
