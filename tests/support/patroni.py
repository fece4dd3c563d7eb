"""A server of Patroni's REST API that says what a test wants, and misbehaves as it wants."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


def member(name: str, host: str, port: int, role: str = "replica", **more: Any) -> dict[str, Any]:
    """One member as `GET /cluster` of Patroni 4 tells it."""
    state = "running" if role == "leader" else "streaming"
    where = {"api_url": f"http://{host}:8008/patroni", "host": host, "port": port}
    lag = {} if role == "leader" else {"lag": 0, "receive_lag": 0, "replay_lag": 0}
    return {"name": name, "role": role, "state": state, **where, "timeline": 1, **lag, "lsn": "0/4000000"} | more


class FakePatroni:
    """Answers `GET /cluster` with `members`; `answer` replaces that, with (status, body), and may block or raise."""

    def __init__(
        self, members: Iterable[dict[str, Any]] = (), *, tls: Path | None = None, clients: Path | None = None
    ) -> None:
        self.members = list(members)
        self.more: dict[str, Any] = {"scope": "shop"}
        self.answer: Callable[[], tuple[int, bytes] | bytes] = self.honest
        self._pause: float | None = None
        self._left = threading.Event()
        self.asked: list[tuple[str, str | None]] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls / "server.pem", tls / "server.key")
            if clients is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(clients)
            self._server.context = context
        self.scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def honest(self) -> tuple[int, bytes]:
        return 200, json.dumps({"members": self.members, **self.more}).encode()

    def dribble(self, seconds: float) -> threading.Event:
        """Send a byte of an endless answer each so many seconds from now on; the event: a client has gone away."""
        self._pause = seconds
        return self._left

    def drips(self, stream: Any) -> bool:
        """Whether it does so, and has done so until the client went away or the test ended."""
        if self._pause is None:
            return False
        try:
            stream.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
            while not self._server.ended.wait(self._pause):
                stream.write(b" ")
        except OSError:
            self._left.set()
        return True

    def __enter__(self) -> FakePatroni:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    fake: FakePatroni
    context: ssl.SSLContext | None = None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.ended = threading.Event()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """TLS is spoken in the request's own thread: a client that says nothing must not block the others."""
        if self.context is not None:
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news to a test."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        fake = self.server.fake
        fake.asked.append((self.path, self.headers["Authorization"]))
        if fake.drips(self.wfile):
            return
        answer = fake.answer()
        if isinstance(answer, bytes):  # not even HTTP
            self.wfile.write(answer)
            return
        status, body = answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass
