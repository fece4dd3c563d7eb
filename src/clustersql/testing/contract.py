"""The contract that every driver adapter keeps, as tests to run on your own adapter against a real server.

Subclass the class that fits in a test file, and say by a fixture what to test::

    class TestMyDriver(ServerContract):
        @pytest.fixture
        def subject(self, mariadb_server):
            return Subject(load("mydriver"), Target(host="127.0.0.1", port=mariadb_server.port(), user="app", ...))

`DriverContract` is for every driver, `ServerContract` adds what one of a server keeps, `ListenContract` what one keeps
whose server sends notifications unasked; a class that asks too little fails.  The user needs one database in which he
may create tables; sessions are killed by himself.

Nothing is skipped.  Where the adapter says that it cannot do something (`Abilities`), the tests demand the answer that
it must then give: that it does not know, never a guess.
"""

from __future__ import annotations

from .contracts.driver import DriverContract
from .contracts.server import ListenContract, ServerContract
from .contracts.subject import SQL, Subject

__all__ = ["SQL", "DriverContract", "ListenContract", "ServerContract", "Subject"]
