"""mysqlclient (the module MySQLdb): the C library, which tells nothing about an open transaction."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from . import sockets
from .adapter import Adapter, Codes, converted, no_dsn, server_arguments
from .contract import Abilities, Target

NAMES = {name: name for name in ("host", "port", "user", "password", "database", "unix_socket")}

_TLS = ("ca", "capath", "cert", "key", "cipher")
"""The keys of the driver's ``ssl`` mapping; a URL gives them one by one, as ``ssl_ca``."""


class MySQLClient(Adapter):
    """Adapter for mysqlclient.  ``in_transaction`` is never known: a pooled connection is always rolled back on its return."""

    name = "mysqlclient"
    family = "mysql"
    dialect_name = "mysql"
    leaving = "close"
    abilities = Abilities(descriptor=True, transaction_status=False, autocommit=True, connect_timeout=True)
    numbers: ClassVar[dict[str, type]] = {
        "port": int,
        "connect_timeout": int,
        "read_timeout": int,
        "write_timeout": int,
        "client_flag": int,
        "autocommit": bool,
        "use_unicode": bool,
        "compress": bool,
        "local_infile": bool,
        "binary_prefix": bool,
    }

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self._sockets: WeakKeyDictionary[Any, tuple[int, int]] = WeakKeyDictionary()
        self._numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def connect(self, target: Target, timeout: float) -> Any:
        """Connect.  ``timeout`` in seconds, rounded up to whole ones: the C library knows no other."""
        no_dsn(self.name, target)
        arguments = {"connect_timeout": max(1, math.ceil(timeout))} | server_arguments(target, NAMES)
        arguments |= _with_tls(converted(target.arguments, self.numbers))
        raw = self.module.connect(**arguments)
        self._numbers[raw] = raw.thread_id()
        if (descriptor := self.descriptor(raw)) is not None:
            self._sockets[raw] = descriptor, sockets.identity(descriptor)
            sockets.keep_alive(descriptor)
        return raw

    def codes(self, exc: BaseException) -> Codes:
        """The number comes first in the arguments; the driver keeps no SQLSTATE in its exceptions."""
        number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else None
        message = str(exc.args[1]) if len(exc.args) > 1 else str(exc)
        return None, number or None, message

    def refused_unsent(self, exc: BaseException, codes: Codes) -> bool:
        """2006 without a text is raised for a connection that was closed on this side; a server that went has a text."""
        return exc.args == (2006, "")

    def descriptor(self, raw: Any) -> int | None:
        """Return the C library's; a closed connection refuses to tell, and so does one that another thread uses (2.3)."""
        try:
            descriptor: int = raw.fileno()
        except self.module.ProgrammingError:
            return self._sockets.get(raw, (None, 0))[0]
        except self.module.Error:
            return None
        return descriptor if descriptor >= 0 else None

    def abort(self, raw: Any) -> bool:
        """Shut down the socket that was remembered at connect, if that number still means the same socket.

        The driver refuses every question while another thread is in a call, and closes its socket without telling us.
        """
        if not raw.open or raw not in self._sockets:
            return False
        return sockets.shut_down(*self._sockets[raw])

    def is_closed(self, raw: Any) -> bool:
        """Tell whether it was closed here, or the C library dropped its socket."""
        return not raw.open or self.descriptor(raw) is None

    def session_id(self, raw: Any) -> int | None:
        """Return the server's thread id as it was at connect: the driver does not tell while another thread is in a call."""
        return self._numbers.get(raw)

    def autocommit(self, raw: Any) -> bool | None:
        """Tell the server's flag; None: closed."""
        try:
            return bool(raw.get_autocommit())
        except self.module.Error:
            return None

    def set_autocommit(self, raw: Any, on: bool) -> None:
        """Costs a round trip when the mode changes."""
        if self.autocommit(raw) is not on:
            raw.autocommit(on)

    def cursor(self, raw: Any) -> Any:
        """Return a plain cursor."""
        return self.module.cursors.Cursor(raw)


def _with_tls(arguments: dict[str, Any]) -> dict[str, Any]:
    """Gather ``ssl_ca`` and the like in the mapping that the driver takes."""
    given = {key: arguments.pop(f"ssl_{key}") for key in _TLS if f"ssl_{key}" in arguments}
    return arguments | {"ssl": given | dict(arguments.get("ssl") or {})} if given else arguments


def adapter(module: Any) -> MySQLClient:
    """Return the adapter over ``module``."""
    import_module(f"{module.__name__}.cursors")  # MySQLdb imports it only when the first connection is made
    return MySQLClient(module)
