"""The adapter of the simulated connections: what `clustersql.drivers` asks of a driver, as far as a read in autocommit
mode goes.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from clustersql.core.faults import Facts, Fault
from clustersql.drivers.base.reader import BaseDriver
from clustersql.drivers.contract import Abilities

from .server import Link


class Error(Exception):
    """The driver's only error: a `Fault`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class Lost(Error):
    """The connection is lost, or could not be opened."""

    def __init__(self, fault: Fault = Fault.LOST) -> None:
        super().__init__(fault)


class Simulated(BaseDriver):
    """The adapter."""

    name = "simulated"
    family = None
    abilities = Abilities(descriptor=False, transaction_status=False, autocommit=True, connect_timeout=True)

    def facts(self, exc: BaseException, raw: Link | None) -> Facts:
        """Return what the error says; at connect everything is a node that could not be reached."""
        fault = exc.fault if isinstance(exc, Error) else Fault.LOST
        return Facts(fault, lost=raw is None or fault is Fault.LOST)

    def is_closed(self, raw: Link) -> bool:
        """Tell whether it was reset, or closed."""
        return not raw.alive

    is_stale = is_closed

    def abort(self, raw: Link) -> bool:
        """Wake who waits for an answer on it."""
        raw.broken()
        return True

    def autocommit(self, raw: Any) -> bool:
        """It has no other mode."""
        return True


ADAPTER = Simulated(SimpleNamespace(__name__="simulated", Error=Error, OperationalError=Error, InterfaceError=Error))
