"""What a dialect tells of statements: lists of words and patterns, by which `core.statements.traits` reads a text.

Rules
-----
* Words are in lower case.  A pattern goes over the flattened text (`core.statements.flatten`) unless its field says
  otherwise.
* A list that is empty makes every answer err towards "may have an effect".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .flatten import Lexicon
from .left import Left
from .settings import Forms

__all__ = ["Rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """A dialect's words and patterns."""

    reading: frozenset[str]
    """Leading words of what may be a proven read."""
    stateless: frozenset[str]
    """Leading words of what leaves no session state, unless something else in the text does."""
    implicit_commit: frozenset[str]
    """Leading words of what commits by itself, or may."""
    pure_functions: frozenset[str]
    """Functions that are known to leave no session state."""
    functions_with_effect: frozenset[str]
    """Functions that a read-only session executes with effect, or that read what only one session has."""
    lexicon: Lexicon = field(default_factory=Lexicon)
    """How comments and quotes are written."""
    never_commit: frozenset[str] = frozenset()
    """Leading words, beside the standard's, of what may leave session state and commits nothing: ``listen``."""
    committing: str = ""
    """What may commit although its leading word does not, as a pattern: MariaDB's ``set autocommit``."""
    inserting: frozenset[str] = frozenset({"insert", "merge"})
    """Leading words of what may generate a value, which is then asked for: ``INSERT``."""
    not_called: frozenset[str] = frozenset()
    """Words, beside the standard's, that may stand before a parenthesis without being a call: types with a length."""
    phrases_with_effect: tuple[str, ...] = ()
    """Words that make a statement no proven read: ``for update``."""
    phrases_with_state: tuple[str, ...] = ()
    """Words that leave or read session state, and so make it no proven read either: ``next value for``."""
    setting: str = ""
    """How a statement begins that may be one of `forms`: it is compared with them, which costs more, only then."""
    forms: Forms = field(default_factory=dict, hash=False)
    """What is known of its settings: see `core.statements.settings`."""
    with_settings: str = ""
    """What may stand before a statement to give it settings of its own, which end with it: MariaDB's ``set statement a
    = 1 for``."""
    variables: str = ""
    """A variable of the user's, which lives in its session, as a pattern: ``@a``."""
    temporary: str = ""
    """What names a temporary table without the word, as a pattern: ``pg_temp``."""
    schemas: frozenset[str] = frozenset()
    """Schemas whose functions count as named without one: ``pg_catalog``."""
    keeping: tuple[tuple[str, str], ...] = ()
    """Statements that are known to leave something in their session beyond the transaction: (pattern, what it is)."""
    asking: str = ""
    """Statements that only ask, although their leading word, or what looks like a call, may do more: a pattern over all
    of the text."""
    not_restored: frozenset[str] = frozenset()
    """Settings that no other session is given: who somebody is, what works once, and whether writes are allowed."""
    session_readers: Mapping[str, Left] = field(default_factory=dict, hash=False)
    """Functions that tell what an earlier statement left in its session, and leave nothing themselves: ``lastval``."""
    reading_session: tuple[tuple[str, Left], ...] = ()
    """The same for what is no function, by patterns: ``@@identity``."""
    reading_by_name: str = ""
    """Statements whose literals name what they read, as a pattern: SHOW, and a query of the server's variables."""
    reading_session_by_name: tuple[tuple[str, Left], ...] = ()
    """The same as `reading_session` for the literals of those, by patterns over the text as it was given."""
    leaving_state: str = ""
    """What leaves session state, as a pattern: ``last_insert_id(5)``."""
    turning_on: str = ""
    """What commits by turning the autocommit mode on, as a pattern over the whole flattened text: ``set autocommit =
    1``."""
    outlasting: str = ""
    """What no reset of the session undoes, as a pattern, so that it is closed instead: ``LOAD``."""
    why_leading: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Why a statement that begins with this word keeps its connection where it is, beside `core.statements.pins`."""
    why_called: tuple[tuple[str, str], ...] = ()
    """The same for a function with this word in its name."""
