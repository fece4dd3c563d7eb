"""asyncmy: a fork of aiomysql in Cython, with a protocol class in place of streams.

A cancelled call closes the connection, as with aiomysql.  But with ``read_timeout`` it waits by `asyncio.wait_for`,
which drops a cancellation that comes with the answer until Python 3.12
(https://github.com/python/cpython/issues/86296); without, it awaits one future, and raises on what that raises
(``_fill_buffer``).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .aiomysql import AioMySQL
from .base.mysql import TELLING, begin, use
from .base.reader import SAME_NAMES
from .base.surface import CONNECTION, surface

CONNECTION_NAMES = surface(
    tells=f"{TELLING} connected escape_string get_transaction_status host_info last_usage loop protocol_version salt"
    " server_capabilities server_charset server_language server_status server_thread_id server_version first transport",
    asks="show_warnings",
    local="autocommit_mode",
    mode="autocommit",
    pings="ping",
    runs={"begin": begin, "select_db": use},
    replaces="connect",
    ends="ensure_closed",
    ours=CONNECTION,
    unmanaged="kill next_result prepare query read_packet set_charset write_packet",
)
"""asyncmy's connection; what others keep in registries is where Python cannot look."""


class AsyncMy(AioMySQL):
    """Adapter for asyncmy."""

    name = "asyncmy"
    outlives_cancellation = sys.version_info < (3, 12)
    connection_names = CONNECTION_NAMES
    refusals = ((0, "Not connected"), (0, "Cancelled during execution"))
    names: ClassVar[Mapping[str, str]] = SAME_NAMES
    numbers: ClassVar[dict[str, type]] = AioMySQL.numbers | {
        "read_timeout": float,
        "max_allowed_packet": int,
        "stmt_cache_size": int,
        "binary_prefix": bool,
    }

    async def _open(self, raw: Any) -> None:
        await raw.connect()

    def _transport(self, raw: Any) -> Any:
        return raw._transport

    def is_closed(self, raw: Any) -> bool:
        """It says "connected" until it is closed; its protocol knows of an end of file or an error."""
        return not raw.connected or bool(raw._stream_broken)

    async def cursor(self, raw: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return a cursor of the driver."""
        return raw.cursor(*args, **kwargs)


def adapter(module: Any) -> AsyncMy:
    """Return the adapter over ``module``."""
    return AsyncMy(module)
