"""A small HTTP server for the figures and the health.  Off unless `serve` is called.

* ``/`` is a page for people, ``/live`` its news, and ``/state.json`` the same for programs; they are told to nobody
  whom another site has sent (`clustersql.telemetry.origin`).
* ``/metrics`` is for Prometheus, ``/debug/vars`` has the same as JSON; ``/livez``, ``/readyz`` and ``/healthz`` are for
  who decides whether this process gets requests.
* It listens on loopback unless told otherwise, because the figures name hosts and errors.  No password is among them.
* It answers GET and HEAD only, in threads of its own, and logs nothing per request.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..cluster import Cluster
from ..config.checks import is_number
from ..config.knobs import YEAR
from ..errors import ConfigError
from ..registry import registered
from . import stream
from .health import READY_AFTER, Readiness, health
from .history import History
from .origin import is_loopback, refused
from .page import POLICY, page
from .stream import MOST

if TYPE_CHECKING:
    from .prometheus import ClusterCollector

__all__ = ["Server", "health", "serve"]

SILENCE = 10.0
"""Seconds after which a client that sends no request, or reads no answer, is disconnected."""


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    timeout = SILENCE
    server: _HTTPServer

    def do_GET(self) -> None:
        """Answer what the path asks for."""
        path = self.path.partition("?")[0]
        answer = PATHS.get(path)
        if answer is None:
            self._json(HTTPStatus.NOT_FOUND, {"error": f"there are {', '.join(PATHS)}"})
        elif path in GUARDED and (why := refused(self.headers["Host"], self.headers["Origin"], self.server.host)):
            self._json(HTTPStatus.FORBIDDEN, {"error": why})
        else:
            answer(self)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def page(self) -> None:
        """Answer with the page."""
        self._answer(HTTPStatus.OK, "text/html; charset=utf-8", page(self.server.history.shown()).encode(), POLICY)

    def state(self) -> None:
        """Answer with what the page shows, as JSON."""
        shown = self.server.history.shown()
        self._json(HTTPStatus.OK, {"clustersql": __version__, "clusters": [each.state for each in shown.values()]})

    def live(self) -> None:
        """Answer with the page's news, for as long as the reader stays."""
        if not self.server.readers.acquire(blocking=False):
            self._json(HTTPStatus.SERVICE_UNAVAILABLE, {"error": f"{MOST} readers are connected already"})
            return
        try:
            self.close_connection = True
            self._begin(HTTPStatus.OK, stream.TYPE)
            if self.command != "HEAD":
                for message in stream.news(self.server.history):
                    self.wfile.write(message)
                    self.wfile.flush()
        finally:
            self.server.readers.release()

    def variables(self) -> None:
        """Answer with `metrics`, as JSON."""
        clusters = self.server.clusters()
        self._json(HTTPStatus.OK, {name: each.metrics() for name, each in sorted(clusters.items())})

    def metrics(self) -> None:
        """Answer with the figures for Prometheus."""
        try:
            from . import prometheus
        except ImportError:
            text = 'prometheus_client is not installed: pip install "clustersql[prometheus]"'
            self._json(HTTPStatus.NOT_IMPLEMENTED, {"error": text})
            return
        self._answer(HTTPStatus.OK, prometheus.TYPE, prometheus.exposition(self.server.collector()))

    def alive(self) -> None:
        """Answer that the process does."""
        self._json(HTTPStatus.OK, {"alive": True})

    def ready(self) -> None:
        """Answer whether this process may be given requests."""
        good, found = self.server.readiness.asked(self.server.clusters(), time.monotonic())
        self._json(_status(good), {"ready": good, "clusters": found})

    def healthy(self) -> None:
        """Answer whether every cluster has a usable node."""
        good, found = health(self.server.clusters())
        self._json(_status(good), {"healthy": good, "clusters": found})

    def _json(self, status: HTTPStatus, content: Any) -> None:
        self._answer(status, "application/json", json.dumps(content, indent=2).encode() + b"\n")

    def _answer(self, status: HTTPStatus, media_type: str, body: bytes, policy: str = "default-src 'none'") -> None:
        self._begin(status, media_type, {"Content-Length": str(len(body)), "Content-Security-Policy": policy})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _begin(self, status: HTTPStatus, media_type: str, more: Mapping[str, str] = MappingProxyType({})) -> None:
        self.send_response(status)
        for name, value in (HEADERS | {"Content-Type": media_type} | dict(more)).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
"""What every answer carries."""
GUARDED = {"/", "/live", "/state.json", "/debug/vars"}
"""What is told to nobody whom another site has sent.  The others are asked by machines, under whatever name."""
PATHS: dict[str, Callable[[_Handler], None]] = {
    "/": _Handler.page,
    "/live": _Handler.live,
    "/state.json": _Handler.state,
    "/metrics": _Handler.metrics,
    "/debug/vars": _Handler.variables,
    "/livez": _Handler.alive,
    "/readyz": _Handler.ready,
    "/healthz": _Handler.healthy,
}
"""What there is to ask for."""


def _status(good: bool) -> HTTPStatus:
    return HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that keeps its connection open must not hold `Server.close`

    def __init__(self, address: tuple[str, int], chosen: Mapping[str, Cluster] | None, readiness: Readiness) -> None:
        self.address_family = AF_INET6 if ":" in address[0] else AF_INET
        self._chosen = chosen
        self._collector: ClusterCollector | None = None
        self._lock = threading.Lock()
        self.readiness = readiness
        self.host = address[0]
        self.readers = threading.BoundedSemaphore(MOST)
        super().__init__(address, _Handler)
        self.history = History(self.clusters)

    def clusters(self) -> Mapping[str, Cluster]:
        """The clusters to show: those that were chosen, or all that are registered now."""
        return registered() if self._chosen is None else self._chosen

    def collector(self) -> ClusterCollector:
        """The collector of ``/metrics``, made at the first scrape: it counts events from then on."""
        from .prometheus import ClusterCollector

        with self._lock:
            if self._collector is None:
                self._collector = ClusterCollector(None if self._chosen is None else self._chosen.values())
            return self._collector

    def handle_error(self, *_: Any) -> None:
        """A client that goes away in the middle is no news."""


class Server:
    """A running server; made by `serve`.  ``with`` closes it."""

    def __init__(self, host: str, port: int, clusters: Mapping[str, Cluster] | None, ready_after: float) -> None:
        self._server = _HTTPServer((host, port), clusters, Readiness(ready_after))
        self.host = host
        self.port: int = self._server.server_address[1]
        """The port it listens on."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="clustersql-http", daemon=True
        )
        self._closed = False
        self._thread.start()

    def close(self) -> None:
        """Stop listening.  Twice does no harm."""
        if not self._closed:
            self._closed = True
            self._server.history.close()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<clustersql.telemetry.http.Server {self.host}:{self.port}{' closed' if self._closed else ''}>"


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    clusters: Iterable[Cluster] | None = None,
    *,
    expose: bool = False,
    ready_after: float = READY_AFTER,
) -> Server:
    """Serve a page, figures and health at ``http://host:port`` from a thread of its own.

    ``port`` 0 takes a free one; ``Server.port`` tells it.  ``clusters``: which to show; None: all that are registered
    at the time of the request.  ``expose``: must be said for a ``host`` that others than this machine can reach, for
    the page names hosts, places in your program and errors.  There are

    * ``/``: the page, live where there is JavaScript; ``/state.json``: what it shows;
    * ``/metrics``: the figures for Prometheus, with the extra ``prometheus``; ``/debug/vars``: `metrics` as JSON;
    * ``/livez``: 200 as long as this process answers;
    * ``/healthz``: 200 while each cluster has a usable node for what it is wanted for (a primary, or any node for a
      cluster that is ``read_only``), else 503; the body says which has not;
    * ``/readyz``: the same, but a cluster that was well and is ill for less than ``ready_after`` seconds still counts,
      so that a failover does not take every process out of its service at once.

    Raises `ConfigError` when it cannot listen there, for a ``host`` that is not loopback without ``expose``, and when
    ``ready_after`` is no number of seconds.
    """
    if not (expose or is_loopback(host)):
        raise ConfigError(
            f"the HTTP server would listen on {host}, beyond this machine, and its page names hosts, places in your"
            " program and errors: say expose=True, or leave host out"
        )
    if not (is_number(ready_after) and 0 <= ready_after <= YEAR):
        raise ConfigError(f"ready_after: must be a number of seconds from 0 to a year, not {ready_after!r}")
    chosen = None if clusters is None else {cluster.name: cluster for cluster in clusters}
    try:
        return Server(host, port, chosen, ready_after)
    except (OSError, OverflowError) as exc:
        raise ConfigError(f"the HTTP server cannot listen on {host}:{port}: {exc}") from exc
