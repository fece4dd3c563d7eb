"""What keeps a connection from moving: which statement or call, and why, in words that may be shown anywhere.

Rules
-----
* No value is shown: string literals become ``'...'``, and nothing is shown of what SET sets, nor after a word that announces a secret.
* A text that cannot be read for sure shows its leading word only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .traits import Rules, flatten, impure, shown

__all__ = ["Pin", "pin_of"]


@dataclass(frozen=True, slots=True)
class Pin:
    """``what``: the statement, shortened and without its values, or the call (``copy()``).  ``why`` it keeps the connection where it is."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


WIDTH = 80
"""Characters of a statement that are shown."""

_WORD = re.compile(r"\s*[A-Za-z]{1,20}(?!\w)")
_ASSIGNED = re.compile(r"\Aset [^=]*?(?:=| to\b)", re.IGNORECASE)
_SECRET = re.compile(r"\b(?:password|identified|secret|token|credential\w*|pwd)\b", re.IGNORECASE)

_LEADING = {
    "listen": "notifications come to this session only",
    "prepare": "a prepared statement lives in its session",
    "execute": "a prepared statement lives in its session",
    "deallocate": "a prepared statement lives in its session",
    "declare": "a cursor lives in its session",
    "lock": "a lock is held by its session",
    "unlock": "a lock is held by its session",
    "flush": "a lock is held by its session",
    "backup": "a lock is held by its session",
    "load": "a library stays in its session",
    "discard": "what it leaves is not known",
    "reset": "what is reset cannot be read back",
    "call": "a procedure may do anything to its session",
    "do": "a procedure may do anything to its session",
    "attach": "a database is attached to its session",
    "detach": "a database is attached to its session",
    "pragma": "a setting that is not restored",
    "set": "a setting that is not a simple literal one, or is never restored",
    "xa": "a distributed transaction",
    "handler": "a cursor lives in its session",
}

_CALLED = (
    ("lock", "a lock is held by its session"),
    ("set_config", "a setting that is not a simple literal one, or is never restored"),
    ("last_insert_id", "what only this session knows"),
    ("currval", "what only this session knows"),
    ("lastval", "what only this session knows"),
    ("nextval", "what only this session knows"),
    ("found_rows", "what only this session knows"),
)


def pin_of(operation: Any, rules: Rules) -> Pin:
    """Return the pin of a statement that may leave session state."""
    if not isinstance(operation, str):
        return Pin(type(operation).__name__, "not a text, so that what it leaves is not known")
    flat = flatten(operation, rules.lexicon)
    if not flat:
        word = _WORD.match(operation)
        return Pin(word[0].strip().upper() if word else "", "its text is not understood for sure")
    return Pin(_shortened(shown(operation, rules.lexicon)), _why(flat, rules))


def _shortened(text: str) -> str:
    if found := _ASSIGNED.match(text) or _SECRET.search(text):
        text = f"{text[: found.end()]} ..."
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def _why(flat: str, rules: Rules) -> str:
    if ";" in flat:
        return "several statements in one text"
    first = flat.split(" ", 1)[0].strip("(")
    if re.search(r"\btemp(?:orary)?\b|\bpg_temp\b", flat) and first in (
        "create",
        "declare",
        "select",
        "drop",
        "insert",
    ):
        return "a temporary table lives in its session"
    if first in _LEADING:
        return _LEADING[first]
    if rules.lexicon == "mysql" and re.search(r"(?<!@)@(?!@)", flat):
        return "a user variable lives in its session"
    for function in impure(flat, rules):
        return next((why for word, why in _CALLED if word in function), f"{function}() is not known to leave no state")
    return "it is not known to leave no state"
