"""A WSGI application whose workers publish their figures; any of them answers for all.  Its folder is in the
environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from clustersql import Cluster, register
from clustersql.telemetry.processes import TYPE, together

shop = register(Cluster("shop", driver="sqlite3", failover_probe=0.02, max_size=3))
shop.add_node("a", database=os.path.join(os.environ["PROMETHEUS_MULTIPROC_DIR"], "shop.db"))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the figures of all workers."""
    start_response("200 OK", [("Content-Type", TYPE)])
    return [together()]
