"""One logical connection to a whole SQL cluster, for every Python database driver."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import (
    AlreadyCommitted,
    CausalityLost,
    ClusterError,
    ConfigError,
    NoNodeAvailable,
    OutcomeUnknown,
    PoolClosed,
    PoolTimeout,
    ReplayMismatch,
    TransactionLost,
)

if TYPE_CHECKING:
    from .cluster import Cluster
    from .config.credentials import Credentials
    from .registry import connect, load, metrics, open, register, registered, reload, unregister

__version__ = "0.1.0"

__all__ = [
    "AlreadyCommitted",
    "CausalityLost",
    "Cluster",
    "ClusterError",
    "ConfigError",
    "Credentials",
    "NoNodeAvailable",
    "OutcomeUnknown",
    "PoolClosed",
    "PoolTimeout",
    "ReplayMismatch",
    "TransactionLost",
    "connect",
    "load",
    "metrics",
    "open",
    "register",
    "registered",
    "reload",
    "unregister",
]

_LATER = {
    "Cluster": "cluster",
    "Credentials": "config.credentials",
    **dict.fromkeys(
        ("connect", "load", "metrics", "open", "register", "registered", "reload", "unregister"), "registry"
    ),
}
"""Names that are imported when they are first asked for (PEP 562), and where from.  All of the package is behind them,
which takes several times as long as `import asyncio`: a command, a migration or a module that only catches our errors
need not wait for it."""


if not TYPE_CHECKING:  # or a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f".{_LATER[name]}", __name__), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
