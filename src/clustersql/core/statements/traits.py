"""What a statement's text tells about its effects, without parsing it: leading words and the functions it names.

Rules
-----
* The text is flattened first (`core.statements.flatten`), and read by the words and patterns of its dialect
  (`core.statements.rules`).
* What cannot be flattened for sure is unknown.
* A statement leaves no session state only if its leading word *and every function that it names* are known not to.
* Something hidden behind a name (a trigger, a view, a user's operator) is not seen: the text names no function there.
* Every answer errs towards "may have an effect".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from .flatten import QUOTED, flatten, without_comments
from .left import NOTHING, Left
from .rules import Rules
from .settings import Local, Setting, setting

__all__ = ["UNKNOWN", "Traits", "impure", "kept", "outlasts", "several", "traits"]


@dataclass(frozen=True, slots=True)
class Traits:
    """What is known of one statement; in doubt each field has the value that promises least."""

    plain: bool
    """Leaves no session state, is no transaction control and commits nothing by itself: nothing to note about it."""
    read: bool
    """In a read-only session it has no effect at all: nothing in it is on the dialect's list."""
    leaves_state: bool
    """May leave session state, so the connection must not move and is reset on its return."""
    may_commit: bool
    """May commit by itself (DDL on MySQL, CALL, DO, several statements), so nothing may be rerun."""
    begins: bool
    """Opens a transaction: BEGIN, START TRANSACTION, COMMIT AND CHAIN."""
    commits: bool
    """COMMIT or END of the whole transaction."""
    rolls_back: bool
    """ROLLBACK of the whole transaction, not to a savepoint."""
    rewinds: bool = False
    """ROLLBACK TO SAVEPOINT: on PostgreSQL it undoes settings too."""
    setting: Setting | None = None
    """What it sets in the session, where the text tells it in full: another session can be given the same."""
    many: bool = False
    """It was sent once per row, each of which may have committed: that the last one was not sent says nothing of those
    before."""
    once: bool = False
    """Its parameters came from what can be read once only, so it is never sent again."""
    asks: Left = NOTHING
    """What it reads of what an earlier statement left in its session (LAST_INSERT_ID), so that no other session can
    answer it."""
    renews: Left = Left.COUNT
    """What is read of the session afterwards is its own; of what is generated: it may be."""


_QUIET = Traits(False, read=True, leaves_state=False, may_commit=False, begins=False, commits=False, rolls_back=False)

UNKNOWN = Traits(
    plain=False,
    read=False,
    leaves_state=True,
    may_commit=True,
    begins=False,
    commits=False,
    rolls_back=False,
    renews=Left.COUNT | Left.GENERATED,
)

_NAME_CHARACTERS = f"abcdefghijklmnopqrstuvwxyz0123456789_$.{QUOTED}"
_NOT_BEFORE_A_CALL = frozenset("as into table references key index insert ignore view".split())
"""After these stands the name of a table, an alias or a type with its columns or length, never a call."""

_CTE = re.compile(
    r"(?<=[ ,])([^\W\d][\w$.]*) ?\([^()]*\) ?as ?(?:not )?(?:materialized ?)?"
    r"(?=\( ?(?:select|values|with|insert|update|delete|merge|table)\b)"
)
_TARGET_OF_DDL = re.compile(r"\b(?:on|using|function|procedure) [^\W\d][\w$.]* ?(?=\()")
_INTO = re.compile(r"\binto\b(?<!insert into)(?<!merge into)(?<!replace into)(?<!ignore into)")
_STORING = frozenset(("select", "with", "values", "table", "explain", "analyze", "describe", "desc"))
"""May end in INTO, or begin a statement that does: EXPLAIN ANALYZE executes it."""
_QUERIES = frozenset(("select", "with", "values", "table"))
_TABLE = re.compile(r"\bfrom (?!dual\b)[^\W\d(]|\Atable ")
"""Uses a table: one that is named in FROM, and is not MySQL's DUAL."""
_WRITES = re.compile(r"\b(?:insert|update|delete|merge|replace) ")
_TEMPORARY = re.compile(r"\b(?:create|declare) (?:or replace )?(?:local |global )?temp(?:orary)?\b")
_FIRST = re.compile(r"[( ]*([a-z]+)\b")

_KEYWORDS = frozenset(
    """
    add all and any array as asc between by case check column columns conflict constraint cross cube default desc
    distinct do else end except exclude exists explain fields filter for foreign format from full group groups having if
    ignore in include inherits inner intersect interval into is join key lateral lead_in limit like lines list match
    minus natural not null nulls of offset on only or order outer over overlaps partition position_of primary range
    recursive references replace returning rollup row rows select set sets similar some start table then ties to union
    unique update using value values view when where window with within without materialized hash against analyze
    verbose binary collate delete insert temporary options storage system bernoulli

    bigint bit blob bool boolean char character clob date datetime dec decimal double float int integer numeric nchar
    nvarchar precision real smallint text time timestamp varbinary varchar varying
    """.split()
)
"""Words that may stand before a parenthesis without being a call, and types with a length, in any database."""

_NEVER_COMMIT = frozenset(
    "begin close deallocate declare end fetch get prepare release rollback savepoint set signal start".split()
)
"""Leading words that commit nothing, in any database (where one differs, `Rules.implicit_commit` says so)."""


def traits(sql: object, rules: Rules) -> Traits:
    """Return what ``sql`` is known to do; anything but a str is unknown and gets the traits that promise least.

    Never raises.  Costs some 10 us for a usual statement, so that callers cache it by the text.
    """
    if not isinstance(sql, str):
        return UNKNOWN
    text = flatten(sql, rules.lexicon)
    words = text and _FIRST.match(text)
    if not text or not words or ";" in text:
        return UNKNOWN
    return _transaction(text, words[1], rules) or _statement(sql, text, words[1], rules)


def kept(sql: object, rules: Rules) -> str:
    """Return what ``sql`` is known to leave in its session when its transaction has ended; "": nothing is known.

    In doubt nothing, unlike `Traits.leaves_state`: it is what a caller is told, and his statement refused for.
    """
    text = flatten(sql, rules.lexicon) if isinstance(sql, str) else None
    if not text:
        return ""
    return next((what for pattern, what in rules.keeping if re.search(pattern, text)), "")


def outlasts(sql: object, rules: Rules) -> bool:
    """Tell whether a statement that leaves session state is known to leave what no reset undoes."""
    text = flatten(sql, rules.lexicon) if isinstance(sql, str) and rules.outlasting else None
    return text is not None and re.search(rules.outlasting, text) is not None


def several(sql: object, rules: Rules) -> bool:
    """Tell whether ``sql`` is a text of several statements, or one that cannot be understood."""
    text = flatten(sql, rules.lexicon) if isinstance(sql, str) else None
    return isinstance(sql, str) and (text is None or ";" in text)


def impure(flat: str, rules: Rules) -> list[str]:
    """Return the functions that a flattened statement names and that are not known to leave no state."""
    words = _FIRST.match(flat)
    called = _calls(flat, words[1] if words else "", rules)
    return sorted(_bare(name, rules) for name in called if _bare(name, rules) not in rules.pure_functions)


def _transaction(text: str, first: str, rules: Rules) -> Traits | None:
    """The traits of transaction control; None: it is none."""
    second = text[len(first) + 1 :]
    begins = first == "begin" or (first == "start" and second.startswith("transaction"))
    commits = first in ("commit", "end")
    rolls_back = first in ("rollback", "abort") and not re.match(r"(?:work |transaction )?to\b", second)
    if not (begins or commits or rolls_back) or second.startswith(("prepared", "not atomic")):
        return None
    chained = second.endswith("and chain")
    return Traits(
        plain=False,
        read=False,
        leaves_state=False,
        may_commit=begins and first in rules.implicit_commit,
        begins=begins or chained,
        commits=commits,
        rolls_back=rolls_back,
    )


def _statement(sql: str, text: str, first: str, rules: Rules) -> Traits:
    if found := _setting(sql, text, rules):
        return found
    if rules.with_settings and (settings := _compiled(rules.with_settings).match(text)):
        text = text[settings.end() :]
        words = _FIRST.match(text)
        if words is None or _transaction(text, words[1], rules):
            return UNKNOWN
        first = words[1]
    if rules.turning_on and first == "set" and re.fullmatch(rules.turning_on, text):
        return replace(UNKNOWN, commits=True)
    if rules.asking and re.fullmatch(rules.asking, text):
        return replace(_QUIET, plain=True)
    called = _calls(text, first, rules)
    asks = _asks(sql, text, called, rules)
    stores = "into" in text and first in _STORING and _INTO.search(text) is not None
    remembers = stores or _remembers(text, rules)
    leaves_state = remembers or first not in _stateless(rules) or not _all_pure(called, rules)
    may_commit = _may_commit(text, first, rules)
    read = first in rules.reading and not (remembers or may_commit or asks or _has_effect(text, called, rules))
    rewinds = first == "rollback" and "prepared" not in text
    return Traits(
        plain=not (leaves_state or may_commit or rewinds or asks),
        read=read,
        leaves_state=leaves_state,
        may_commit=may_commit,
        begins=False,
        commits=False,
        rolls_back=False,
        rewinds=rewinds,
        asks=asks,
        renews=_renews(text, first, leaves_state, rules),
    )


def _asks(sql: str, text: str, called: set[str], rules: Rules) -> Left:
    """What it asks for of what an earlier statement left in its session, by a function, a variable or SHOW."""
    asks = NOTHING
    for name in called:
        asks |= rules.session_readers.get(_bare(name, rules), NOTHING)
    for pattern, left in rules.reading_session:
        if _compiled(pattern).search(text):
            asks |= left
    if rules.reading_by_name and _compiled(rules.reading_by_name).search(text):
        for pattern, left in rules.reading_session_by_name:
            if _compiled(pattern).search(sql.lower()):
                asks |= left
    return asks


def _renews(text: str, first: str, leaves_state: bool, rules: Rules) -> Left:
    """What is asked of its session afterwards and is its own.  What leaves state may have executed an INSERT."""
    inserts = first in rules.inserting or (first == "with" and _WRITES.search(text) is not None)
    writes = inserts or first in ("update", "delete")
    renews = Left.COUNT
    if writes:
        renews |= Left.WRITTEN
    elif first in _QUERIES:
        renews |= Left.FOUND
    if writes or (first in _QUERIES and _TABLE.search(text)):
        renews |= Left.WARNINGS
    return renews | Left.GENERATED if inserts or leaves_state else renews


def _setting(sql: str, text: str, rules: Rules) -> Traits | None:
    """The traits of a setting whose text tells all of it; None: it is none, or not known to be one.

    It writes no data, so it counts as a read; what is local to a transaction does not, for it may allow writes there.
    """
    if not rules.setting or not _compiled(rules.setting).match(text):
        return None
    found = setting(without_comments(sql, rules.lexicon), rules.forms, rules.not_restored)
    if found is None:
        return None
    if isinstance(found, Local):
        return replace(_QUIET, plain=True, read=False)
    return replace(_QUIET, setting=found)


def _calls(text: str, first: str, rules: Rules) -> set[str]:
    """The names that are called, with their schemas."""
    if first == "with":
        text = _CTE.sub(" ", text)
    elif first == "create":
        text = _TARGET_OF_DDL.sub(" key ", text.replace("if not exists ", ""))
    return {name for before in text.split("(")[:-1] if (name := _call(before.rstrip(" "), rules.not_called))}


def _call(before: str, not_called: frozenset[str]) -> str:
    """The name that is called by a parenthesis after ``before``; empty: none, the parenthesis only groups or lists."""
    stem = before.rstrip(_NAME_CHARACTERS)
    name = before[len(stem) :]
    if stem and stem[-1] > "\x7f":
        return QUOTED  # a name in other letters: somebody's own function
    if not name or name in _KEYWORDS or name in not_called:
        return ""
    stem = stem.rstrip(" ")
    word = stem[len(stem.rstrip(_NAME_CHARACTERS)) :]
    return "" if word in _NOT_BEFORE_A_CALL or stem.endswith(")") else name


def _all_pure(called: set[str], rules: Rules) -> bool:
    if called <= rules.pure_functions:
        return True
    return all(
        bare in rules.pure_functions or bare in rules.session_readers for bare in (_bare(n, rules) for n in called)
    )


def _bare(name: str, rules: Rules) -> str:
    """The function's name, unquoted; a schema stays unless it is the server's own, so that shop.count is not count."""
    schema, dot, function = name.replace(QUOTED, "").rpartition(".")
    return function if not dot or schema in rules.schemas else name


def _has_effect(text: str, called: set[str], rules: Rules) -> bool:
    if text.startswith("with ") and _WRITES.search(text):
        return True
    names = {name.rpartition(".")[2].strip(QUOTED) for name in called}
    return "" in names or not names.isdisjoint(rules.functions_with_effect) or _said(rules.phrases_with_effect, text)


def _remembers(text: str, rules: Rules) -> bool:
    if ("temp" in text and _TEMPORARY.search(text)) or _said(rules.phrases_with_state, text):
        return True
    patterns = (rules.variables, rules.temporary, rules.leaving_state)
    return any(_compiled(pattern).search(text) for pattern in patterns if pattern)


def _may_commit(text: str, first: str, rules: Rules) -> bool:
    """An unknown leading word may."""
    if first in rules.implicit_commit or (rules.committing and _compiled(rules.committing).match(text)):
        return True
    return not (first in rules.stateless or first in _NEVER_COMMIT or first in rules.never_commit)


def _said(phrases: tuple[str, ...], text: str) -> bool:
    for phrase in phrases:  # a plain search first: it is several times faster, and mostly finds nothing
        if phrase in text:
            return _pattern(phrases).search(text) is not None
    return False


@lru_cache(maxsize=64)
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(phrases)})\b")


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@lru_cache(maxsize=16)
def _with_savepoints(stateless: frozenset[str]) -> frozenset[str]:
    """SAVEPOINT, RELEASE and ROLLBACK TO live and die with their transaction."""
    return stateless | {"savepoint", "release", "rollback"}


def _stateless(rules: Rules) -> frozenset[str]:
    return _with_savepoints(rules.stateless)
