"""Every fault of the proxy, before a plain server that answers each line with the same line in capitals."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import eventually

from clustersql.testing import FaultProxy, channel
from clustersql.testing.ports import free_ports
from clustersql.testing.relay.listener import Listener
from clustersql.testing.relay.program import Program
from clustersql.testing.watchdog import started


class Shouter(socketserver.ThreadingTCPServer):
    """Remembers what it received; ``BIG`` asks for an answer of a megabyte."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.received: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            for line in self.rfile:
                self.server.received.append(line)  # type: ignore[attr-defined]
                self.wfile.write(b"x" * 999_999 + b"\n" if line == b"BIG\n" else line.upper())


@pytest.fixture
def shouter() -> Iterator[Shouter]:
    with Shouter() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(shouter: Shouter) -> Iterator[FaultProxy]:
    with FaultProxy(shouter.server_address[1]) as proxy:
        yield proxy


class Client:
    def __init__(self, proxy: FaultProxy) -> None:
        self.sock = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def line(self) -> bytes:
        """One line, or what came before the end of the stream."""
        data = b""
        while not data.endswith(b"\n"):
            piece = self.sock.recv(65536)
            if not piece:
                break
            data += piece
        return data

    def ask(self, data: bytes) -> bytes:
        self.send(data)
        return self.line()


def process() -> int:
    """The process in which the proxies of this one work."""
    assert channel._shared.channel is not None
    return channel._shared.channel.pid


def test_passes_everything(proxy: FaultProxy) -> None:
    with Client(proxy) as one, Client(proxy) as two:
        assert one.ask(b"a\n") == b"A\n"
        assert two.ask(b"b\n") == b"B\n"
        assert len(one.ask(b"BIG\n")) == 1_000_000
        assert (proxy.connections, proxy.accepted, proxy.packets) == (2, 2, 3)
    assert eventually(lambda: proxy.connections == 0)
    assert "listening, 0 connections" in repr(proxy)


def test_stop_closes_and_refuses_and_restart_serves_again(proxy: FaultProxy) -> None:
    with Client(proxy) as client:
        client.ask(b"a\n")
        proxy.stop()
        assert client.line() == b""
        with pytest.raises(ConnectionRefusedError):
            Client(proxy)
    proxy.stop()
    proxy.restart()
    with Client(proxy) as client:
        assert client.ask(b"a\n") == b"A\n"
        proxy.restart()
        assert client.line() == b""


def test_many_restarts_leave_nothing(proxy: FaultProxy) -> None:
    open_files = Path(f"/proc/{process()}/fd")
    before = threading.active_count(), len(list(open_files.iterdir()))
    for _ in range(50):
        proxy.restart()
    assert (threading.active_count(), len(list(open_files.iterdir()))) == before


def test_a_client_that_came_in_the_round_of_the_loop_in_which_it_was_stopped() -> None:
    """The selector has told of it, and the order to stop was carried out first."""
    [port] = free_ports(1)
    with socket.socket() as ours:
        program = Program(ours, os.getpid())
        listener = Listener(program)
        listener.start(port)
        with socket.create_connection(("127.0.0.1", port)):
            [(key, events)] = [ready for ready in program.selector.select(5) if ready[0].fileobj is not ours]
            listener.stop()
            key.data(events)
            assert listener.count() == (0, 0, 0)
        program.selector.close()


def test_reset(proxy: FaultProxy) -> None:
    with Client(proxy) as client:
        client.ask(b"a\n")
        proxy.reset()
        assert proxy.connections == 0
        with pytest.raises(ConnectionResetError):
            client.line()
    with Client(proxy) as client:
        assert client.ask(b"a\n") == b"A\n"


def test_deaf_is_silent_on_old_and_new_connections(proxy: FaultProxy, shouter: Shouter) -> None:
    with Client(proxy) as old:
        old.ask(b"a\n")
        proxy.deaf()
        with Client(proxy) as new:
            for client in (old, new):
                client.send(b"b\n")
                client.sock.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    client.line()
                client.sock.settimeout(5)
            assert shouter.received == [b"a\n"]
            proxy.deaf(False)
            assert old.line() == b"B\n"
            assert new.line() == b"B\n"


def test_delay_is_latency_not_bandwidth(proxy: FaultProxy) -> None:
    proxy.delay(1.0)
    with Client(proxy) as client:
        began = time.monotonic()
        assert (
            len(client.ask(b"BIG\n")) == 1_000_000
        )  # at least 16 packets, that is 16 s if each had to wait for the one before
        assert 1.0 <= time.monotonic() - began < 8
        proxy.delay(0)
        began = time.monotonic()
        client.ask(b"a\n")
        assert time.monotonic() - began < 1.0


def test_delay_keeps_the_order(proxy: FaultProxy) -> None:
    proxy.delay(0.05)
    with Client(proxy) as client:
        client.send(b"a\n")
        time.sleep(0.02)
        proxy.delay(0)
        client.send(b"b\n")
        answer = client.line()
        while len(answer) < 4:
            answer += client.line()
        assert answer == b"A\nB\n"


def test_cut_after_answer_bytes(proxy: FaultProxy) -> None:
    with Client(proxy) as old, Client(proxy) as other:
        old.ask(b"hello\n")
        proxy.cut_after(3)
        assert old.ask(b"hello\n") == b"HEL"
        assert other.ask(b"hello\n") == b"HELLO\n"  # count=1 is used up


def test_cut_after_query_bytes(proxy: FaultProxy, shouter: Shouter) -> None:
    proxy.cut_after(4, "queries", count=2)
    for _ in range(2):
        with Client(proxy) as client:
            client.ask(b"abcdef\n")
    assert eventually(lambda: shouter.received == [b"abcd", b"abcd"])
    with Client(proxy) as client:
        assert client.ask(b"abcdef\n") == b"ABCDEF\n"
    with pytest.raises(ValueError, match="direction"):
        proxy.cut_after(1, "sideways")  # type: ignore[arg-type]


def test_cut_before_the_server_got_it(proxy: FaultProxy, shouter: Shouter) -> None:
    proxy.cut_on(rb"com+it", before=True)
    with Client(proxy) as client:
        assert client.ask(b"begin\n") == b"BEGIN\n"
        assert client.ask(b"commit\n") == b""
    with Client(proxy) as client:
        assert client.ask(b"commit\n") == b"COMMIT\n"
    assert shouter.received == [b"begin\n", b"commit\n"]


def test_cut_after_the_server_did_it(proxy: FaultProxy, shouter: Shouter) -> None:
    proxy.cut_on(b"commit", before=False, count=2)
    for _ in range(2):
        with Client(proxy) as client:
            assert client.ask(b"begin\n") == b"BEGIN\n"
            assert client.ask(b"commit\n") == b""
    with Client(proxy) as client:
        assert client.ask(b"commit\n") == b"COMMIT\n"
    assert shouter.received.count(b"commit\n") == 3


def test_a_pattern_that_straddles_packets_matches_once(proxy: FaultProxy, shouter: Shouter) -> None:
    proxy.cut_on(b"commit", before=True, count=2)
    with Client(proxy) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.send(b"com")
        time.sleep(0.05)
        assert client.ask(b"mit\n") == b""
    assert b"commit\n" not in shouter.received
    with Client(proxy) as client:
        assert client.ask(b"x\n") == b"X\n"
        assert client.ask(b"commit\n") == b""


def test_close_on_accept(proxy: FaultProxy) -> None:
    with Client(proxy) as old:
        old.ask(b"a\n")
        proxy.close_on_accept()
        with Client(proxy) as client:
            assert client.line() == b""
        assert old.ask(b"a\n") == b"A\n"
        assert proxy.accepted == 2


def test_a_dead_target_looks_like_a_closed_connection(proxy: FaultProxy) -> None:
    live, proxy.target_port = proxy.target_port, free_ports(1)[0]
    with Client(proxy) as client:
        assert client.line() == b""
    proxy.target_port = live
    with Client(proxy) as client:
        assert client.ask(b"a\n") == b"A\n"


def test_heal_calls_everything_off(proxy: FaultProxy) -> None:
    proxy.delay(9)
    proxy.cut_after(1)
    proxy.cut_on(b"a", before=True)
    proxy.close_on_accept()
    proxy.deaf()
    proxy.stop()
    proxy.heal()
    with Client(proxy) as client:
        assert client.ask(b"a\n") == b"A\n"


def test_a_client_that_holds_the_global_lock_is_served() -> None:
    """As the driver mariadb does while it reads rows: no thread of this process runs until the answer is there."""
    with socket.create_server(("127.0.0.1", 0)) as target, FaultProxy(target.getsockname()[1]) as proxy:
        proxy.delay(0.2)  # so that the answer passes only when the lock is held
        with Client(proxy) as client, target.accept()[0] as server:
            server.sendall(b"rows")
            client.sock.setblocking(True)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 10, 0))
            answer = ctypes.create_string_buffer(8)
            assert ctypes.PyDLL(None).recv(client.sock.fileno(), answer, 4, socket.MSG_WAITALL) == 4
            assert answer.value == b"rows"


PROGRAM = """
import os, sys, time
from clustersql.testing import FaultProxy, channel
proxy = FaultProxy(1)
proxy.start()
if os.fork() == 0:
    assert FaultProxy(1).connections == 0  # of its own
    child = channel._shared.channel.pid
    print("child", os.getpid(), child, flush=True)
    time.sleep(60)
print("parent", os.getpid(), channel._shared.channel.pid, proxy.connections, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["by itself", "kill -9"])
def test_the_process_ends_with_its_program(end: str) -> None:
    """Also while a forked child, which has inherited the channel, lives on."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as popen:
        assert popen.stdin is not None
        assert popen.stdout is not None
        told = dict(re.findall(r"(child|parent) (.*)", popen.stdout.readline() + popen.stdout.readline()))
        child, of_child = map(int, told["child"].split())
        _, of_parent, connections = map(int, told["parent"].split())
        assert of_child != of_parent
        assert connections == 0
        assert started(of_parent)
        if end == "kill -9":
            popen.kill()
        else:
            popen.stdin.close()
        try:
            assert eventually(lambda: not started(of_parent), timeout=20)
            assert started(of_child)
        finally:
            os.kill(child, signal.SIGKILL)
        assert eventually(lambda: not started(of_child), timeout=20)


def test_the_death_of_the_process_is_told(shouter: Shouter) -> None:
    with FaultProxy(shouter.server_address[1]):
        os.kill(process(), signal.SIGKILL)
        with pytest.raises(RuntimeError, match="the process of the fault proxies is gone"):
            FaultProxy(1)
    with FaultProxy(shouter.server_address[1]) as proxy, Client(proxy) as client:
        assert client.ask(b"a\n") == b"A\n"


def test_bad_input(proxy: FaultProxy) -> None:
    with pytest.raises(re.error):
        proxy.cut_on(b"(", before=True)
    with pytest.raises(OSError, match="in use"):
        FaultProxy(1, port=proxy.port).start()
