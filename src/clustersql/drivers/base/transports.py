"""An asyncio transport seen from outside: its descriptor, what waits on it, and its end without a word."""

from __future__ import annotations

import contextlib
from typing import Any

from . import sockets


def descriptor(transport: Any) -> int | None:
    """Return the socket's descriptor; None: it is closed, or closing, which is all the same to whoever looks."""
    if transport is None or transport.is_closing():
        return None
    sock = transport.get_extra_info("socket")
    number: int = -1 if sock is None else sock.fileno()
    return number if number >= 0 else None


def keep_alive(transport: Any) -> None:
    """Ask the kernel to notice a vanished peer."""
    if (number := descriptor(transport)) is not None:
        sockets.keep_alive(number)


def is_encrypted(transport: Any) -> bool:
    """Tell whether what waits in the kernel cannot be read from outside."""
    return transport.get_extra_info("ssl_object") is not None


def end(transport: Any) -> None:
    """Close the socket without waiting for what is unsent; also when the loop is closed, and more than once.

    A transport closes its socket by a callback of its loop, which a closed loop refuses: the socket would stay open
    until the collector comes, with a ResourceWarning, and the session on the server with it.
    """
    if transport is None:
        return
    # One of TLS that was closed already has let go of its protocol: the first releases of Python 3.11 then raise.
    if getattr(transport, "_ssl_protocol", True) is not None:
        with contextlib.suppress(RuntimeError):  # "Event loop is closed"
            transport.abort()
    loop = getattr(transport, "_loop", None)  # uvloop's transports end with their loop and have none
    if loop is not None and loop.is_closed():
        _close_now(transport)


def _close_now(transport: Any) -> None:
    """What the callback would do.  A TLS transport has another one below, and that has the socket."""
    protocol = getattr(transport, "_ssl_protocol", None)
    below = transport if protocol is None else getattr(protocol, "_transport", None)
    lost = getattr(below, "_call_connection_lost", None)
    if lost is not None and getattr(below, "_sock", None) is not None:
        with contextlib.suppress(Exception):  # the driver's protocol may want the loop once more
            lost(None)
