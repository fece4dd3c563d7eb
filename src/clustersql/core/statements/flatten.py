r"""The text of a statement without what only gets in the way: comments, literals, quoted names, case and spaces.

Rules
-----
* How comments and quotes are written is the dialect's: its `Lexicon`.
* What cannot be flattened for sure (an unterminated quote, ``\'``, MySQL's ``/*! code */``, 1 MB besides literals) is
  unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["LONGEST", "QUOTED", "Lexicon", "flatten", "shown", "uncommented", "without_comments"]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """How a database writes comments and quotes: patterns over the text as it was given.  The defaults take what any
    database takes.
    """

    line: str = r"--[^\n]*"
    """A comment to the end of its line."""
    quotes: str = r"\"[^\"]*(?:\"|\Z)|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z)"
    """Quoted names, and literals that are not in single quotes; what has no end goes to the end of the text."""
    literals: str = "'\""
    """What a literal may begin with: its text is never shown."""
    nested: bool = False
    """A comment may hold another one, so that its first end need not be its end."""
    cased: bool = False
    """A quoted name keeps its case, so that one with capital letters is none of the server's own (PostgreSQL's "Count"
    is not count)."""


LONG = 10_000
"""Characters; in a longer text lists of literals are taken as one, for a bulk insert has 100,000 of them."""
LONGEST = 1_000_000
"""Characters that may be left when comments, literals and their lists are gone; more of them are not looked at, which
would take a second."""
QUOTED = "\u02bc"
"""Marks a quoted name: a letter to `re`, so that the column "into" is not taken for the word INTO."""

_BROKEN = "\x00"
"""Put where the text cannot be understood."""
_LITERAL = (
    r"(?i:[-+]?\d++(?:\.\d*+)?(?:e[-+]?\d++)?(?!\w)|[exbn]?(?>(?:'[^']*+'){1,500})+"
    r"|(?:null|true|false|default)(?!\w)|%s|\?|\$\d++)"
)


def _listed(one: str) -> str:
    """Return a pattern for many of ``one``, with commas between them.

    Of each 500 nothing is kept in mind to come back to, so that a million of them take no memory.  That is said by
    atomic groups: one with a possessive quantifier matches too much on the first releases of Python 3.11.
    """
    some = rf"(?>{one}(?:\s*+,\s*+{one}){{0,499}})"
    return rf"(?>{some}(?:\s*+,\s*+{some})*)"


_LISTS = _listed(rf"(?>\(\s*+{_listed(_LITERAL)}\s*+\))")
_CLOSING = {"[": "]"}
_NAME = re.compile(r"[a-z_][a-z0-9_$]*\Z")


@lru_cache(maxsize=16)
def _pattern(lexicon: Lexicon) -> re.Pattern[str]:
    return re.compile(rf"{lexicon.line}|/\*.*?(?:\*/|\Z)|'[^']*(?:'|\Z)|{lexicon.quotes}", re.DOTALL)


@lru_cache(maxsize=16)
def _pattern_of_long(lexicon: Lexicon) -> re.Pattern[str]:
    """The same, with lists of literals first."""
    return re.compile(rf"{_LISTS}|{_pattern(lexicon).pattern}", re.DOTALL)


@lru_cache(maxsize=16)
def _line(lexicon: Lexicon) -> re.Pattern[str]:
    return re.compile(lexicon.line)


def flatten(sql: str, lexicon: Lexicon) -> str | None:
    """Return ``sql`` in lower case with single spaces, without comments, literals and a last semicolon; None: unsure.

    A backslash before a quote ends the string or not, depending on a setting of the session
    (``standard_conforming_strings``, ``NO_BACKSLASH_ESCAPES``) that the text does not tell.
    """
    if "\\'" in sql or '\\"' in sql or _BROKEN in sql:
        return None
    pattern = _pattern(lexicon) if len(sql) <= LONG else _pattern_of_long(lexicon)
    text = pattern.sub(lambda found: _replacement(found[0], lexicon), sql)
    if _BROKEN in text or len(text) > LONGEST:
        return None
    return " ".join(text.lower().split()).replace(" .", ".").replace(". ", ".").rstrip("; ")


def without_comments(sql: str, lexicon: Lexicon) -> str:
    """Return a statement that `flatten` understands without its comments."""
    return _pattern(lexicon).sub(lambda found: " " if found[0][0] in "-#/" else found[0], sql)


def uncommented(sql: str, lexicon: Lexicon) -> str:
    """Return ``sql`` without a comment at its end (sqlcommenter's); itself: there is none, or it may be code.

    Whether it stands outside literals shows in the rest alone: only if `traits` understands that, does it end outside
    of them.  So it has to be in one line, or a comment to the end of a line that began before it would end within it.
    """
    text = sql.rstrip().rstrip(";").rstrip()
    if text.endswith("*/"):
        start = text.rfind("/*", 0, -2)
        body = text[start + 2 : -2]
        code = body[:1] in ("!", "+") or body[:2] == "M!" or "*/" in body or "\n" in body or "\r" in body
        return sql if start < 0 or code else text[:start].rstrip()
    found = _line(lexicon).search(text, text.rfind("\n") + 1)
    return sql if found is None or "\r" in text[found.start() :] else text[: found.start()].rstrip()


def shown(sql: str, lexicon: Lexicon) -> str:
    """Return a statement that `flatten` understands as it may be shown: in one line, without comments and without its
    literals.
    """
    text = _pattern(lexicon).sub(
        lambda found: "'...'" if found[0][0] in lexicon.literals else found[0], without_comments(sql, lexicon)
    )
    return " ".join(text.split()).rstrip("; ")


def _replacement(found: str, lexicon: Lexicon) -> str:
    first = found[0]
    if first in "-#":
        return " "
    if first == "(":
        return "(?)"
    if first == "/":
        return _comment(found, lexicon.nested)
    if first == "$":
        tag = found[: found.index("$", 1) + 1]
        return " ? " if len(found) >= 2 * len(tag) and found.endswith(tag) else _BROKEN
    if len(found) < 2 or found[-1] != _CLOSING.get(first, first):
        return _BROKEN
    return " ? " if first == "'" else f"{_quoted_name(found[1:-1], lexicon.cased)} "


def _comment(found: str, nested: bool) -> str:
    """A space, unless it does not end, may hold another one, or is code in disguise (MySQL and MariaDB execute it)."""
    doubtful = (
        len(found) < 4
        or not found.endswith("*/")
        or found[2:4] == "M!"
        or found[2] == "!"
        or (nested and "/*" in found[2:])
    )
    return _BROKEN if doubtful else " "


def _quoted_name(name: str, cased: bool) -> str:
    """The marked name; only the mark for one that is none of the server's own."""
    simple = _NAME.match(name if cased else name.lower())
    return QUOTED + name if simple else QUOTED
