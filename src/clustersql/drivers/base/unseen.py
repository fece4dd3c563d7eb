"""What is asked for our own sake is on nobody's trace: a probe, a reset, what a dial asks, a token of the commit guard.

OpenTelemetry's instrumentation of a driver makes a span of each statement, unless its context says that none is wanted.
The key stands in opentelemetry-instrumentation (``utils.is_instrumentation_enabled``), which every one of its packages
asks.  Nothing is imported here: where the program has not loaded OpenTelemetry, there is nobody to tell.
"""

from __future__ import annotations

import sys
from typing import Any

KEY = "suppress_instrumentation"


class unseen:  # noqa: N801 - used as a statement: ``with unseen():``
    """Within the block no instrumentation makes spans."""

    __slots__ = ("_context", "_token")

    def __init__(self) -> None:
        self._context: Any = sys.modules.get("opentelemetry.context")
        self._token: Any = None

    def __enter__(self) -> None:
        # Another thread may be just loading it, with half of its names.
        if hasattr(self._context, "detach"):
            self._token = self._context.attach(self._context.set_value(KEY, True))

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            self._context.detach(self._token)
