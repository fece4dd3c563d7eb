"""Session settings that a statement's text tells in full, so that another session can be given the same.

Rules
-----
* Only simple, literal forms are known: one setting, its value a literal.  A parameter, a list of assignments, an
  expression, a comment, a backslash or a per cent sign (some drivers unescape it) make a statement unknown, and it pins
  the connection as any other.
* What ends with its transaction (`Local`) needs no restoring: the transaction is lost as a whole, or not at all.
* Who somebody is (``SET ROLE``), what works once (``insert_id``), and whether writes are allowed are never restored:
  `Rules.not_restored`.
* A restored setting is verified: the new session is asked, at once and once more when all are set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = [
    "LEVEL",
    "LITERAL",
    "LOCAL",
    "VALUE",
    "WORD",
    "Forms",
    "Local",
    "Setting",
    "agrees",
    "form",
    "plain",
    "setting",
]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a session."""

    name: str
    """What is set, in lower case; a later one of the same name takes its place."""
    statement: str
    """Sets it, on any session."""
    question: str
    """Asks what it is: the last column of the first row."""
    value: str | None
    """What the answer must be; None: whatever the server has made of the statement."""
    exact: bool = False
    """The answer is that text and no other; else the server may write it in its own way: `agrees`."""


class Local:
    """The type of `LOCAL`."""

    def __repr__(self) -> str:
        return "LOCAL"


LOCAL = Local()
"""Stands for a setting that ends with its transaction: ``SET LOCAL``."""


Forms = Mapping[re.Pattern[str], Callable[[re.Match[str]], Setting | Local]]
"""What a dialect knows of settings: a pattern over a statement, and what it sets."""


def setting(sql: str, forms: Forms, not_restored: frozenset[str]) -> Setting | Local | None:
    """Return what a statement sets in the session; None: it is no setting of a known form, or must not be restored.

    ``forms`` are the dialect's.
    """
    text = sql.strip().rstrip("; \n\t")
    for pattern, read in forms.items():
        if found := pattern.match(text):
            made = read(found)
            named = made.name if isinstance(made, Setting) else found.groupdict().get("name", "")
            return None if named.lower() in not_restored else made
    return None


def agrees(value: str, told: str) -> bool:
    """Tell whether a server that tells ``told`` has understood ``value``, which it may write in its own way.

    Numbers and truths by their meaning, lists (``sql_mode``) if everything wanted is in it.

    >>> agrees("1", "ON"), agrees("ANSI_QUOTES", "IGNORE_SPACE,ANSI_QUOTES"), agrees("", "ANSI_QUOTES")
    (True, True, False)
    """
    if value == told:
        return True
    wanted, given = value.lower(), told.lower()
    if wanted in _TRUTHS and given in _TRUTHS:
        return _TRUTHS[wanted] is _TRUTHS[given]
    if _NUMBER.fullmatch(wanted) and _NUMBER.fullmatch(given):
        return float(wanted) == float(given)
    return bool(wanted) and set(wanted.split(",")) <= set(given.split(","))


_TRUTHS = {"1": True, "on": True, "true": True, "0": False, "off": False, "false": False}
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


# What the forms of all dialects share

LITERAL = r"'(?:[^'\\%]|'')*'"
WORD = r"[A-Za-z_][A-Za-z0-9_]*"
VALUE: str = rf"(?:{LITERAL}|[-+]?\d+(?:\.\d+)?|{WORD})"


def form(pattern: str) -> re.Pattern[str]:
    """A pattern in which each space stands for any space."""
    return re.compile(pattern.replace(" ", r"\s+") + r"\Z", re.IGNORECASE)


def plain(token: str) -> str | None:
    """The value that a token means; None: the server's default."""
    if token.startswith("'"):
        return token[1:-1].replace("''", "'")
    return None if token.lower() == "default" else token


LEVEL = "(?P<level>serializable|repeatable read|read committed|read uncommitted)"
