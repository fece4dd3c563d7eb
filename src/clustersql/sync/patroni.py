"""One question to Patroni, for threads: see `nodes.patroni`."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..config.patroni import Place, Target
from ..core.steps import Fetch, Step
from ..core.view.members import Members
from ..core.view.patroni import ask
from ..nodes.patroni import Answer, context, request
from .drive import drive

if TYPE_CHECKING:
    from ssl import SSLContext


def ask_patroni(places: Sequence[Place], seconds: float) -> tuple[Place | None, Members]:
    """Ask one place after the other, each for so many seconds at most, until one answers.

    Returns the place and what it tells, or None and why none could.
    """

    def perform(step: Step) -> object:
        assert isinstance(step, Fetch)
        return fetch(step.place, seconds)

    return drive(ask(places), perform)


def fetch(place: Place, seconds: float) -> Any:
    """Return what a Patroni answers, as values of JSON.

    ``seconds`` bound it in all, but for the lookup of the name.  Raises OSError where it cannot be reached or is late,
    ValueError where what answers is no Patroni, `ConfigError` for a variable that is not set.
    """
    target = place.target()
    spoken = context(target)
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    end = time.monotonic() + seconds
    with _connected(target, found, spoken, end) as connection:
        _until(connection, end)
        connection.sendall(request(target))
        answer = Answer()
        while answer.take(connection.recv(65536)):
            _until(connection, end)
    return answer.content()


def _connected(target: Target, found: Sequence[Any], spoken: SSLContext | None, end: float) -> socket.socket:
    last: OSError = TimeoutError("timed out")
    for family, kind, proto, _, address in found:
        plain = socket.socket(family, kind, proto)
        try:
            _until(plain, end)
            plain.connect(address)
            _until(plain, end)
            return plain if spoken is None else spoken.wrap_socket(plain, server_hostname=target.host)
        except OSError as exc:
            plain.close()
            last = exc
        except BaseException:
            plain.close()
            raise
    raise last


def _until(connection: socket.socket, end: float) -> None:
    """The next call may take what is left: a server that sends a byte now and then must not keep it for ever."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    connection.settimeout(left)
