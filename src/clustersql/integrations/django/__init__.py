"""Django over a cluster, by its ENGINE: ``clustersql.integrations.django.postgresql``, ``.postgis`` and ``.mysql``.

`ReadRouter` and `PinningMiddleware` send reads to replicas; `rerun` repeats a transaction that provably did not happen;
`cause` tells our error behind one of Django's.  `Clustered` is what the backends are made with, for one over another
package's.
"""

from ..attempts import cause
from .backend import Clustered
from .middleware import PinningMiddleware
from .rerun import rerun
from .router import ReadRouter

__all__ = ["Clustered", "PinningMiddleware", "ReadRouter", "cause", "rerun"]
