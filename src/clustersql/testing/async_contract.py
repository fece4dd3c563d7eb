"""The contract that every adapter of an asyncio driver keeps, as tests to run on your own against a real server.

Subclass the class that fits in a test file, and say by a fixture what to test; no plugin of pytest is needed::

    class TestMyDriver(AsyncServerContract):
        @pytest.fixture
        def subject(self, mariadb_server):
            return AsyncSubject(load_async("mydriver"), Target(host="127.0.0.1", port=mariadb_server.port(), user="app",
            ...))

`AsyncDriverContract` is for every driver, `AsyncServerContract` adds what one of a server keeps.  Each test has an
event loop of its own.  Nothing is skipped: where the adapter says that it cannot do something (`Abilities`), the tests
demand the answer that it must then give.
"""

from __future__ import annotations

from .contracts.async_driver import AsyncDriverContract
from .contracts.async_server import AsyncServerContract
from .contracts.async_subject import AsyncSubject

__all__ = ["AsyncDriverContract", "AsyncServerContract", "AsyncSubject"]
