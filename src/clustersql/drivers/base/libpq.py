"""What every driver over libpq is given at connect: psycopg and psycopg2."""

from __future__ import annotations

import math
from typing import Any

from ..contract import Target
from . import sockets
from .reader import server_arguments

NAMES = {"host": "host", "port": "port", "user": "user", "password": "password", "database": "dbname"}
"""libpq's keywords: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""


def libpq_defaults(timeout: float) -> dict[str, Any]:
    """Return what we ask of libpq where the user asked for nothing.

    ``timeout`` in seconds becomes a whole number of at least 2: libpq knows no other.
    """
    return {
        "connect_timeout": max(2, math.ceil(timeout)),
        "keepalives": 1,
        "keepalives_idle": sockets.IDLE,
        "keepalives_interval": sockets.INTERVAL,
        "keepalives_count": sockets.PROBES,
        "tcp_user_timeout": sockets.USER_TIMEOUT,
    }


def libpq_fields(target: Target) -> dict[str, Any]:
    """Return the target's fields as libpq's keywords; a Unix socket is a host that begins with a slash."""
    fields = server_arguments(target, NAMES)
    return fields | ({"host": target.unix_socket} if target.unix_socket else {})
