"""What keeps a connection from moving: which statement or call, and why, in words that may be shown anywhere.

Rules
-----
* No value is shown: string literals become ``'...'``, and nothing is shown of what SET sets, nor after a word that
  announces a secret.
* A text that cannot be read for sure shows its leading word only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .flatten import flatten, shown
from .rules import Rules
from .traits import impure

__all__ = ["CURSOR", "LOCK", "NOT_RESTORED", "ONLY_HERE", "PREPARED", "Pin", "pin_of", "without_values"]


@dataclass(frozen=True, slots=True)
class Pin:
    """What keeps a connection where it is."""

    what: str
    """The statement, shortened and without its values, or the call: ``copy()``."""
    why: str
    """Why it keeps the connection where it is."""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


WIDTH = 80
"""Characters of a statement that are shown."""

_WORD = re.compile(r"\s*[A-Za-z]{1,20}(?!\w)")
_ASSIGNED = re.compile(r"\Aset [^=]*?(?:=| to\b)", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w$.])\d[\w.]*")
_SECRET = re.compile(r"\b(?:password|identified|secret|token|credential\w*|pwd)\b", re.IGNORECASE)

CURSOR = "a cursor lives in its session"
LOCK = "a lock is held by its session"
NOT_RESTORED = "a setting that is not a simple literal one, or is never restored"
ONLY_HERE = "what only this session knows"
PREPARED = "a prepared statement lives in its session"

_PROCEDURE = "a procedure may do anything to its session"

_LEADING = {
    "prepare": PREPARED,
    "execute": PREPARED,
    "deallocate": PREPARED,
    "declare": CURSOR,
    "lock": LOCK,
    "set": NOT_RESTORED,
    "reset": "what is reset cannot be read back",
    "call": _PROCEDURE,
    "do": _PROCEDURE,
}
"""By the leading word, in any database; `Rules.why_leading` has those of one."""

_CALLED = (("lock", LOCK), ("nextval", ONLY_HERE), ("lastval", ONLY_HERE))
"""By a word in the name of a function; `Rules.why_called` has those of one database."""


def pin_of(operation: Any, rules: Rules) -> Pin:
    """Return the pin of a statement that may leave session state."""
    if not isinstance(operation, str):
        return Pin(type(operation).__name__, "not a text, so that what it leaves is not known")
    flat = flatten(operation, rules.lexicon)
    if not flat:
        word = _WORD.match(operation)
        return Pin(word[0].strip().upper() if word else "", "its text is not understood for sure")
    return Pin(_shortened(shown(operation, rules.lexicon)), _why(flat, rules))


def without_values(operation: Any, rules: Rules) -> str:
    """Return a statement as a page or a log may show it: shortened, in one line, its literals replaced, numbers too."""
    what = pin_of(operation, rules).what
    return _NUMBER.sub("?", what).replace("'...'", "?")


def _shortened(text: str) -> str:
    if found := _ASSIGNED.match(text) or _SECRET.search(text):
        text = f"{text[: found.end()]} ..."
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def _why(flat: str, rules: Rules) -> str:
    if ";" in flat:
        return "several statements in one text"
    first = flat.split(" ", 1)[0].strip("(")
    if first in ("create", "declare", "select", "drop", "insert") and _names_temporary(flat, rules):
        return "a temporary table lives in its session"
    if why := rules.why_leading.get(first) or _LEADING.get(first):
        return why
    if rules.variables and re.search(rules.variables, flat):
        return "a user variable lives in its session"
    for function in impure(flat, rules):
        unknown = f"{function}() is not known to leave no state"
        return next((why for word, why in (*_CALLED, *rules.why_called) if word in function), unknown)
    return "it is not known to leave no state"


def _names_temporary(flat: str, rules: Rules) -> bool:
    if re.search(r"\btemp(?:orary)?\b", flat):
        return True
    return bool(rules.temporary) and re.search(rules.temporary, flat) is not None
