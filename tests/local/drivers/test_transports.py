"""The end of an asyncio transport."""

from __future__ import annotations

import asyncio
from typing import Any

from clustersql.drivers.base import transports


def test_one_of_tls_that_was_closed_before_is_ended() -> None:
    """By the driver, as its connection was lost: the first releases of Python 3.11 raise AttributeError then."""

    class Protocol:
        def _start_shutdown(self) -> None:
            pass

        _abort = _start_shutdown

    async def main() -> None:
        made: Any = asyncio.sslproto._SSLProtocolTransport  # type: ignore[attr-defined]
        transport = made(asyncio.get_running_loop(), Protocol())
        transport.close()
        transports.end(transport)
        transport.close()
        transports.end(transport)

    asyncio.run(main())
