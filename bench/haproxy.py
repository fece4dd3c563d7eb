"""HAProxy in front of a PostgreSQL cluster, set up as Patroni's template does, and the role checks that Patroni would
answer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from clustersql.testing.ports import free_ports

CONFIG = """\
global
    maxconn 200
defaults
    mode tcp
    retries 2
    timeout client 30m
    timeout connect 4s
    timeout server 30m
    timeout check 5s
listen primary
    bind 127.0.0.1:{primary}
    option httpchk GET /primary
    http-check expect status 200
    default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
{writers}
listen any
    bind 127.0.0.1:{any}
    balance leastconn
    option httpchk GET /health
    http-check expect status 200
    default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
{readers}
"""
"""The values of ``haproxy.cfg`` in Patroni's repository: https://github.com/patroni/patroni/blob/master/haproxy.cfg"""


def installed() -> str | None:
    """Return the program, where the system has it."""
    return shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def haproxy(ports: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    """Yield the port that leads to the primary, and the one that leads to any node."""
    program = installed()
    assert program is not None
    with tempfile.TemporaryDirectory() as folder, _answering(ports) as checks:
        primary, any_ = free_ports(2)
        lines = [f"    server {name} 127.0.0.1:{port} check port {checks[name]}" for name, port in ports.items()]
        file = Path(folder) / "haproxy.cfg"
        file.write_text(CONFIG.format(primary=primary, any=any_, writers="\n".join(lines), readers="\n".join(lines)))
        process = subprocess.Popen([program, "-f", str(file), "-db"], stderr=subprocess.DEVNULL)
        try:
            yield primary, any_
        finally:
            process.kill()
            process.wait()


@contextmanager
def _answering(ports: Mapping[str, int]) -> Iterator[dict[str, int]]:
    servers = {name: ThreadingHTTPServer(("127.0.0.1", 0), _handler(port)) for name, port in ports.items()}
    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {name: server.server_address[1] for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.shutdown()
            server.server_close()


def _handler(port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if _answers(port, self.path) else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _answers(port: int, path: str) -> bool:
    import psycopg

    try:
        with psycopg.connect(
            f"postgresql://app:secret@127.0.0.1:{port}/app?connect_timeout=3", autocommit=True
        ) as connection:
            query = "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'"
            found = connection.execute(query).fetchone()
    except psycopg.Error:
        return False
    return path != "/primary" or found == (True,)
