"""Which holders of a connection nobody can use any more: something broke into their end, before it was given back."""

from __future__ import annotations

import sys


def is_unreachable(holder: object) -> bool:
    """Tell whether only its session still knows of ``holder``, so that nobody can use it, nor give the session back.

    Where the interpreter counts no references, nobody is taken for unreachable.
    """
    return _references(holder) <= ALONE


def _references(holder: object) -> int:
    count = getattr(sys, "getrefcount", None)
    return 0 if count is None else int(count(holder))


def _alone(holder: object) -> int:
    return _references(holder) if hasattr(sys, "getrefcount") else -1


_ONE = [object()]
ALONE = _alone(_ONE[0])
"""How many references a holder has, in `is_unreachable`, whom nothing but its session refers to: here nothing but a
list does."""
