"""A small HTTP server for the figures: ``/debug/vars`` and ``/healthz``.  Off unless `serve` is called.

* It listens on loopback unless told otherwise, because the figures name hosts and errors.  No password is among them.
* It answers GET and HEAD only, in threads of its own, and logs nothing per request.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any

from ..cluster import Cluster
from ..core.view.view import Service
from ..errors import ConfigError
from ..registry import registered
from ..reports.values import NodeReport

__all__ = ["Server", "health", "serve"]

SILENCE = 10.0
"""Seconds after which a client that sends no request, or reads no answer, is disconnected."""


def health(clusters: Mapping[str, Cluster]) -> tuple[bool, dict[str, Any]]:
    """Tell whether each cluster has a usable node for what it is wanted for, and per cluster which nodes those are.

    A cluster that was not used yet is opened by this, so that its nodes are probed from now on.
    """
    found = {name: _health(cluster) for name, cluster in sorted(clusters.items())}
    return all(each["healthy"] for each in found.values()), found


def _health(cluster: Cluster) -> dict[str, Any]:
    told = cluster.snapshot()
    service = Service(told.wanted)
    try:
        closed = cluster.open().closed
    except ConfigError as exc:
        return {"healthy": False, "wanted": service.value, "usable": [], "why": {"": str(exc)}}
    usable = [] if closed else list(cluster.view.candidates[service])
    why = {node.name: _why(node) for node in told.nodes if node.name not in usable}
    return {
        "healthy": bool(usable),
        "wanted": service.value,
        "usable": usable,
        "why": {"": "closed"} if closed else why,
    }


def _why(node: NodeReport) -> str:
    return f"{node.state}, {node.role}, {node.readiness}" + (f": {node.why}" if node.why else "")


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    timeout = SILENCE
    server: _HTTPServer

    def do_GET(self) -> None:
        """Answer with JSON."""
        path = self.path.partition("?")[0]
        clusters = self.server.clusters()
        if path == "/debug/vars":
            self._answer(HTTPStatus.OK, {name: each.metrics() for name, each in sorted(clusters.items())})
        elif path == "/healthz":
            good, found = health(clusters)
            status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, {"healthy": good, "clusters": found})
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "there are /debug/vars and /healthz"})

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def _answer(self, status: HTTPStatus, content: Any) -> None:
        body = json.dumps(content, indent=2).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that keeps its connection open must not hold `Server.close`

    def __init__(self, address: tuple[str, int], chosen: Mapping[str, Cluster] | None) -> None:
        self.address_family = AF_INET6 if ":" in address[0] else AF_INET
        self._chosen = chosen
        super().__init__(address, _Handler)

    def clusters(self) -> Mapping[str, Cluster]:
        """The clusters to show: those that were chosen, or all that are registered now."""
        return registered() if self._chosen is None else self._chosen

    def handle_error(self, *_: Any) -> None:
        """A client that goes away in the middle is no news."""


class Server:
    """A running server; made by `serve`.  ``with`` closes it."""

    def __init__(self, host: str, port: int, clusters: Mapping[str, Cluster] | None) -> None:
        self._server = _HTTPServer((host, port), clusters)
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
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<clustersql.telemetry.http.Server {self.host}:{self.port}{' closed' if self._closed else ''}>"


def serve(host: str = "127.0.0.1", port: int = 0, clusters: Iterable[Cluster] | None = None) -> Server:
    """Serve the figures at ``http://host:port/debug/vars`` and the health at ``/healthz`` from a thread of its own.

    ``port`` 0 takes a free one; ``Server.port`` tells it.  ``clusters``: which to show; None: all that are registered
    at the time of the request.  ``/healthz`` answers 200 when each of them has a usable node for what it is wanted for
    (a primary, or any node for a cluster that is ``read_only``), else 503; the body says which has not.  Raises
    `ConfigError` when it cannot listen there.
    """
    chosen = None if clusters is None else {cluster.name: cluster for cluster in clusters}
    try:
        return Server(host, port, chosen)
    except (OSError, OverflowError) as exc:
        raise ConfigError(f"the HTTP server cannot listen on {host}:{port}: {exc}") from exc
