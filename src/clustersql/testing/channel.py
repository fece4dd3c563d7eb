"""The way to the process of the fault proxies (`clustersql.testing.relay`), which starts with the first order and ends
with this program.

Rules
-----
* One process for all proxies of a program: the first costs its start (some 50 ms), the others an exchange of two lines.
* It never outlives this program: it ends at the end of the channel, which the kernel closes however we end, and looks
  at its parent besides.
* A forked child has proxies of its own, in a process of its own; those of its parent are none of its business.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

__all__ = ["order"]

_PATIENCE = 30.0
"""Seconds for an order to be carried out, which takes less than a millisecond, on a machine however loaded."""

# The folder of the package `relay` is put on the path, and nothing else of the caller's environment is (-I -S).
_START = "import sys; sys.path.insert(0, sys.argv[1]); from relay.program import main; main(int(sys.argv[2]))"


class _Channel:
    def __init__(self) -> None:
        self._sock, theirs = socket.socketpair()
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, str(Path(__file__).parent), str(os.getpid())],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,  # who reads our output to its end must not wait for that process
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the program under test
            )
        self._sock.settimeout(_PATIENCE)
        self._file = self._sock.makefile("rb")

    @property
    def pid(self) -> int:
        return self._popen.pid

    def order(self, *parts: Any) -> Any:
        """Return ``[value, error]``."""
        self._sock.sendall(json.dumps(parts).encode() + b"\n")
        line = self._file.readline()
        if not line:
            raise ConnectionError("it has ended")
        return json.loads(line)

    def close(self) -> None:
        self.abandon()
        self._popen.wait()

    def abandon(self) -> None:
        self._file.close()
        self._sock.close()


class _Shared:
    """The channel of this process, made when it is first needed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.channel: _Channel | None = None

    def close(self) -> None:
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.close()

    def forget(self) -> None:
        """In a forked child: another thread of the parent may have held the lock, and the process is not our child."""
        if self.channel is not None:
            self.channel.abandon()
            self.channel._popen.returncode = 0  # or its collection would complain that it still runs
        self.__init__()  # type: ignore[misc]


_shared = _Shared()
atexit.register(_shared.close)
os.register_at_fork(after_in_child=_shared.forget)


def order(proxy: int, verb: str, *arguments: Any) -> Any:
    """Have ``verb`` carried out for the proxy of that number, which is made if there is none, and return what it
    returns.

    Raises OSError, which `start` may meet, and RuntimeError when the process is gone; the next order starts a new one,
    without proxies.
    """
    with _shared.lock:
        if _shared.channel is None:
            _shared.channel = _Channel()
        try:
            value, error = _shared.channel.order(proxy, verb, arguments)
        except (ConnectionError, TimeoutError) as gone:
            _shared.channel.abandon()
            _shared.channel._popen.kill()
            _shared.close()
            raise RuntimeError(f"the process of the fault proxies is gone, and every proxy with it: {gone}") from None
    if error is not None:
        raise OSError(*error)
    return value
