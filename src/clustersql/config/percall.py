"""What the keywords of a call lead to, kept: a program says ``db.connection(read_only=True)`` again and again.

To check them and to make the two values anew costs twice as much as all else that a checkout does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.view.view import Want
from .options import PER_CALL, Options

MOST = 64
"""Combinations that are kept; a program whose ``timeout`` is another at each call would fill the memory, so all are
forgotten then."""


class PerCall:
    """The options of single calls, under the options of one `Database`.  It lives as long as the cluster's knobs stay
    as they are.
    """

    __slots__ = ("_check", "_kept", "_options")

    def __init__(self, options: Options, check: Callable[[Options], None]) -> None:
        """``check`` raises `ConfigError` for what the cluster cannot do."""
        self._options = options
        self._check = check
        self._kept: dict[tuple[object, ...], tuple[Options, Want]] = {}

    def options(
        self, timeout: Any, read_only: Any, node: Any, role: Any, move: Any, max_lag: Any
    ) -> tuple[Options, Want]:
        """Return the options with these values, those of `PER_CALL` in its order, and what a connection with them
        needs.

        None leaves an option as it is.  Raises `ConfigError`.
        """
        # The types too, for 1 equals True, and only one of them is a mistake; no text equals what is none.
        types = timeout.__class__, read_only.__class__, move.__class__, max_lag.__class__
        key = timeout, read_only, node, role, move, max_lag, types
        try:
            kept = self._kept.get(key)
        except TypeError:  # not hashable, so it is a mistake, and is told as such
            kept = None
        return kept or self._made(key, node)

    def _made(self, key: tuple[object, ...], node: object) -> tuple[Options, Want]:
        options = self._options.changed(**dict(zip(PER_CALL, key[:-1], strict=True)))
        self._check(options)
        made = options, options.want(autocommit=False)
        if node is None:  # nodes come and go
            if len(self._kept) >= MOST:
                self._kept.clear()
            self._kept[key] = made
        return made
