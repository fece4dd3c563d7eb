"""One logical connection to a whole SQL cluster, for every Python database driver."""

from __future__ import annotations

from .cluster import Cluster
from .config.credentials import Credentials
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
from .registry import connect, load, metrics, open, register, registered, unregister

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
    "unregister",
]
