"""When Patroni is asked for the members, where, and how its answer is read.

What its answers mean stands in `core.view.patroni`; a socket is opened in ``sync.patroni`` and ``aio.patroni``.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..config.patroni import PORT, Place, Target
from ..core.view.endpoint import HostPort
from ..core.view.hints import worth_asking
from ..core.view.members import Members
from ..core.view.node import Reach
from ..core.view.patroni import PATRONI, knows_us
from .topology import Topology

if TYPE_CHECKING:
    from ssl import SSLContext

CALM = 10
"""Probes between two questions while all is well: 10 s, Patroni's own ``loop_wait``.  Each costs it a read of etcd."""
LARGEST = 1 << 20
"""Bytes of an answer that are read at most: a cluster of ten members tells some 3,000."""


class Patroni:
    """One pool's questions to Patroni: one is under way at most."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._under_way = False
        self._at = 0.0  # when it is due next
        self._troubled = 0  # questions in a row while a node was not up, or a role was wanted that no node had
        self._first: Place | None = None  # where an answer came from last

    def due(self, now: float, starving: bool) -> tuple[Place, ...]:
        """Return where Patroni is to be asked now, one after the other; nothing: not now.  `heard` must follow.

        In trouble it is asked at each ``probe_interval``, and after some of them less often, for hundreds of processes
        must not storm it when it has most to do.
        """
        settings, view = self._topology.settings, self._topology.view
        if settings.discover != "patroni" or self._under_way or not knows_us(view):
            return ()
        trouble = starving or any(node.reach is not Reach.UP for node in view)
        if not trouble:
            self._troubled = 0
        elif not self._troubled:
            self._at = min(self._at, now)
        if now < self._at:
            return ()
        every = min(CALM, 1 << min(self._troubled, 10)) if trouble else CALM
        self._troubled += trouble
        self._at = now + settings.probe_interval * every * (0.9 + 0.2 * random.random())
        found = sorted(self._places(), key=lambda place: place != self._first)
        self._under_way = bool(found)
        if not found:
            why = "no node has a host; say in the knob patroni where it is asked"
            self._topology.tell(Members(PATRONI, why=why, outside=True))
        return tuple(found)

    @property
    def next(self) -> float:
        """When `due` is to be asked again, in monotonic seconds; infinity: something else comes first."""
        waits = self._topology.settings.discover != "patroni" or self._under_way or not knows_us(self._topology.view)
        return float("inf") if waits else self._at

    def _places(self) -> Iterator[Place]:
        given = self._topology.settings.patroni
        if given is not None:
            yield from given
            return
        hosts = (node.endpoint.host for node in self._topology.view if node.endpoint is not None and not node.behind)
        yield from (Place(f"http://{HostPort(host, PORT)}") for host in dict.fromkeys(hosts))

    def heard(self, place: Place | None, told: Members | None) -> tuple[str, ...]:
        """A question has ended, with an answer from ``place``, or from nowhere; ``told`` is None where it was broken
        off.  Returns the nodes that are worth being asked at once.
        """
        self._under_way = False
        self._first = place or self._first
        known = self._topology.view.discovery
        if told is None or known is None:
            return ()
        view = self._topology.tell(told)
        return () if told.why else tuple(worth_asking(view, known.outside))


def request(target: Target) -> bytes:
    """Return the question.  HTTP/1.0, so that the end of the answer is the end of the connection."""
    lines = ["GET /cluster HTTP/1.0", f"Host: {HostPort(target.host, target.port)}", "Accept: application/json"]
    if target.login is not None:
        lines.append(f"Authorization: Basic {base64.b64encode(':'.join(target.login).encode()).decode()}")
    return "\r\n".join([*lines, "", ""]).encode()


def context(target: Target) -> SSLContext | None:
    """Return what TLS is spoken with; None: it is not.  Its files are read each time, for they can be replaced."""
    if not target.tls:
        return None
    import ssl  # here, for it is needed by few

    try:
        made = ssl.create_default_context(cafile=target.files.get("cafile"))
        if "certfile" in target.files:
            made.load_cert_chain(target.files["certfile"], target.files.get("keyfile"), _no_passphrase)
    except OSError as exc:  # it does not name the file
        raise ValueError(f"{', '.join(target.files) or 'the system certificates'}: {exc}") from exc
    return made


def _no_passphrase() -> str:
    """Else OpenSSL would ask for it at the terminal."""
    raise ValueError("keyfile: it has a passphrase, which cannot be given")


def content(answer: bytes) -> Any:
    """Return the values that an answer carries.  Raises ValueError, in words, for one that carries none."""
    import io
    import json
    from http.client import HTTPException, HTTPResponse

    try:
        response = HTTPResponse(_Received(io.BytesIO(answer)))  # type: ignore[arg-type]
        response.begin()
        body = response.read(LARGEST)
    except (HTTPException, ValueError):
        raise ValueError("its answer is no HTTP") from None
    if response.status != 200:
        raise ValueError(f"it answers HTTP {response.status}")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("its answer is no JSON") from None


class _Received:
    """What `http.client` takes for a socket: an answer that has come whole."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> Any:
        """Return the answer as a file."""
        return self._stream


class Answer:
    """An answer that comes piece by piece."""

    def __init__(self) -> None:
        self._received = bytearray()

    def take(self, piece: bytes) -> bool:
        """Take the next piece in; an empty one is the end.  Returns whether there may be more.  Raises ValueError for
        an answer that is too long.
        """
        self._received += piece
        if len(self._received) > LARGEST:
            raise ValueError(f"its answer is longer than {LARGEST} bytes")
        return bool(piece)

    def content(self) -> Any:
        """Return the values that it carries.  Raises ValueError for one that carries none."""
        return content(bytes(self._received))
