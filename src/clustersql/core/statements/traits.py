r"""What a statement's text tells about its effects, without parsing it: leading words and the functions it names.

Rules
-----
* The text is flattened first: comments become a space, string literals a ``?``, quoted names are marked, case and spaces go.
* What cannot be flattened for sure (an unterminated quote, ``\'``, MySQL's ``/*! code */``, 1 MB besides literals) is unknown.
* A statement leaves no session state only if its leading word *and every function that it names* are known not to.
* Something hidden behind a name (a trigger, a view, a user's operator) is not seen: the text names no function there.
* Every answer errs towards "may have an effect".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from .settings import Forms, Local, Setting, setting

__all__ = [
    "UNKNOWN",
    "Rules",
    "Traits",
    "flatten",
    "impure",
    "kept",
    "outlasts",
    "several",
    "shown",
    "traits",
    "uncommented",
]


@dataclass(frozen=True, slots=True)
class Rules:
    """A dialect's lists; all words in lower case."""

    reading: frozenset[str]
    stateless: frozenset[str]
    implicit_commit: frozenset[str]
    pure_functions: frozenset[str]
    functions_with_effect: frozenset[str]
    phrases_with_effect: tuple[str, ...] = ()
    """Words that make a statement no proven read: ``for update``."""
    phrases_with_state: tuple[str, ...] = ()
    """Words that leave or read session state, and so make it no proven read either: ``next value for``."""
    lexicon: Literal["sql", "postgresql", "mysql"] = "sql"
    """How comments and quotes are written."""
    forms: Forms = field(default_factory=dict, hash=False)
    """What is known of its settings: see `core.statements.settings`."""
    schemas: frozenset[str] = frozenset()
    """Schemas whose functions count as named without one: ``pg_catalog``."""
    keeping: tuple[tuple[str, str], ...] = ()
    """Statements that are known to leave something in their session beyond the transaction: (pattern over the flattened text, what it is)."""
    asking: str = ""
    """Statements that only ask, although their leading word, or what looks like a call, may do more: a pattern over the whole flattened text."""
    not_restored: frozenset[str] = frozenset()
    """Settings that no other session is given: who somebody is, what works once, and whether writes are allowed."""
    session_readers: frozenset[str] = frozenset()
    """Functions that tell what an earlier statement left in its session, and leave nothing themselves: ``lastval``."""
    reading_session: str = ""
    """The same for what is no function, as a pattern over the flattened text: ``@@identity``."""
    reading_session_by_name: str = ""
    """The same for the literals of SHOW and of a query of the server's variables, as a pattern over their text."""
    leaving_state: str = ""
    """What leaves session state, as a pattern over the flattened text: ``last_insert_id(5)``."""
    outlasting: str = ""
    """What no reset of the session undoes, as a pattern over the flattened text, so that it is closed instead: ``LOAD``."""


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
    """It was sent once per row, each of which may have committed: that the last one was not sent says nothing of those before."""
    once: bool = False
    """Its parameters came from what can be read once only, so it is never sent again."""
    reads_session: bool = False
    """Reads what an earlier statement left in its session (LAST_INSERT_ID), so that no other session can answer it."""
    inserts: bool = False
    """INSERT or the like: what is read of the session afterwards is its own."""


_QUIET = Traits(False, read=True, leaves_state=False, may_commit=False, begins=False, commits=False, rolls_back=False)

LONG = 10_000
"""Characters; in a longer text lists of literals are taken as one, for a bulk insert has 100,000 of them."""
LONGEST = 1_000_000
"""Characters that may be left when comments, literals and their lists are gone; more of them are not looked at, which would take a second."""

UNKNOWN = Traits(
    plain=False, read=False, leaves_state=True, may_commit=True, begins=False, commits=False, rolls_back=False
)

_QUOTED = "\u02bc"
"""Marks a quoted name: a letter to `re`, so that the column "into" is not taken for the word INTO."""
_BROKEN = "\x00"
"""Put where the text cannot be understood."""

_LINE = {"sql": r"--[^\n]*", "postgresql": r"--[^\n]*", "mysql": r"--(?=\s|\Z)[^\n]*|\#[^\n]*"}
_QUOTES = {
    "sql": r"\"[^\"]*(?:\"|\Z)|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z)",
    "postgresql": r"\"[^\"]*(?:\"|\Z)|\$(?<![\w$]\$)(?P<tag>[^\W\d]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)",
    "mysql": r"\"[^\"]*(?:\"|\Z)|`[^`]*(?:`|\Z)",
}
_FLATTEN = {
    lexicon: re.compile(rf"{line}|/\*.*?(?:\*/|\Z)|'[^']*(?:'|\Z)|{_QUOTES[lexicon]}", re.DOTALL)
    for lexicon, line in _LINE.items()
}
_LAST_LINE = {lexicon: re.compile(line) for lexicon, line in _LINE.items()}
_LITERAL = r"(?i:[-+]?\d++(?:\.\d*+)?+(?:e[-+]?\d++)?+(?!\w)|[exbn]?+(?:'[^']*+')++|(?:null|true|false|default)(?!\w)|%s|\?|\$\d++)"
_LISTED = rf"\(\s*+{_LITERAL}(?:\s*+,\s*+{_LITERAL})*+\s*+\)"
_FLATTEN_LONG = {
    lexicon: re.compile(rf"{_LISTED}(?:\s*+,\s*+{_LISTED})*+|{pattern.pattern}", re.DOTALL)
    for lexicon, pattern in _FLATTEN.items()
}
"""The same, with lists of literals first; possessive, so that a million of them keep nothing in mind to come back to."""
_CLOSING = {"[": "]"}
_NAME = re.compile(r"[a-z_][a-z0-9_$]*\Z")

_NAME_CHARACTERS = f"abcdefghijklmnopqrstuvwxyz0123456789_$.{_QUOTED}"
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
_WRITES = re.compile(r"\b(?:insert|update|delete|merge|replace) ")
_TEMPORARY = re.compile(r"\b(?:create|declare) (?:or replace )?(?:local |global )?temp(?:orary)?\b|\bpg_temp\b")
_WITH_SETTINGS = re.compile(r"set statement [^@(]*? for ")
"""MariaDB's SET STATEMENT a = 1 FOR SELECT ..., which gives the settings back; an expression among them may do anything."""
_INSERTING = frozenset(("insert", "replace", "load", "copy", "merge"))
_VARIABLE = re.compile(r"(?<!@)@(?!@)")
_FIRST = re.compile(r"[( ]*([a-z]+)\b")

_KEYWORDS = frozenset(
    """
    add all and any array as asc between by case check column columns conflict constraint cross cube default desc distinct do
    else end except exclude exists explain fields filter for foreign format from full group groups having if ignore in include
    inherits inner intersect interval into is join key lateral lead_in limit like lines list match minus natural not null
    nulls of offset on only or order outer over overlaps partition position_of primary range recursive references replace
    returning rollup row rows select set sets similar some start table then ties to union unique update using value values
    view when where window with within without materialized hash against analyze verbose ilike regexp rlike sounds div mod
    xor binary collate delete insert temporary options storage system bernoulli

    bigint bit blob bool boolean bpchar char character clob date datetime dec decimal double enum fixed float int integer
    mediumint mediumtext numeric nchar nvarchar precision real smallint text time timestamp timestamptz timetz tinyint
    varbinary varbit varchar varying vector halfvec sparsevec year signed unsigned longtext tinytext
    """.split()
)
"""Words that may stand before a parenthesis without being a call, and types with a length."""

_NEVER_COMMIT = frozenset(
    """
    abort attach begin close deallocate declare detach discard end fetch get handler help kill listen move pragma prepare
    release reset rollback savepoint set signal start unlisten use
    """.split()
)
"""Leading words that leave state or none, but commit nothing (where a dialect differs, `Rules.implicit_commit` says so)."""


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


def flatten(sql: str, lexicon: str) -> str | None:
    """Return ``sql`` in lower case with single spaces, without comments, literals and a last semicolon; None: unsure.

    A backslash before a quote ends the string or not, depending on a setting of the session (``standard_conforming_strings``,
    ``NO_BACKSLASH_ESCAPES``) that the text does not tell.
    """
    if "\\'" in sql or '\\"' in sql or _BROKEN in sql:
        return None
    pattern = (_FLATTEN if len(sql) <= LONG else _FLATTEN_LONG)[lexicon]
    text = pattern.sub(_POSTGRESQL if lexicon == "postgresql" else _OTHER, sql)
    if _BROKEN in text or len(text) > LONGEST:
        return None
    return " ".join(text.lower().split()).replace(" .", ".").replace(". ", ".").rstrip("; ")


def _without_comments(sql: str, lexicon: str) -> str:
    """The text of a statement that `flatten` understands, without its comments."""
    return _FLATTEN[lexicon].sub(lambda found: " " if found[0][0] in "-#/" else found[0], sql)


def uncommented(sql: str, lexicon: str) -> str:
    """Return ``sql`` without a comment at its end (sqlcommenter's); itself: there is none, or it may be code.

    Whether it stands outside literals shows in the rest alone: only if `traits` understands that, does it end outside of them.  So it has
    to be in one line, or a comment to the end of a line that began before it would end within it.
    """
    text = sql.rstrip().rstrip(";").rstrip()
    if text.endswith("*/"):
        start = text.rfind("/*", 0, -2)
        body = text[start + 2 : -2]
        code = body[:1] in ("!", "+") or body[:2] == "M!" or "*/" in body or "\n" in body or "\r" in body
        return sql if start < 0 or code else text[:start].rstrip()
    found = _LAST_LINE[lexicon].search(text, text.rfind("\n") + 1)
    return sql if found is None or "\r" in text[found.start() :] else text[: found.start()].rstrip()


def shown(sql: str, lexicon: str) -> str:
    """Return a statement that `flatten` understands as it may be shown: in one line, without comments and without its literals."""
    hidden = "'$" if lexicon == "postgresql" else "'\""
    text = _FLATTEN[lexicon].sub(
        lambda found: "'...'" if found[0][0] in hidden else found[0], _without_comments(sql, lexicon)
    )
    return " ".join(text.split()).rstrip("; ")


def impure(flat: str, rules: Rules) -> list[str]:
    """Return the functions that a flattened statement names and that are not known to leave no state."""
    words = _FIRST.match(flat)
    called = _calls(flat, words[1] if words else "")
    return sorted(_bare(name, rules) for name in called if _bare(name, rules) not in rules.pure_functions)


def _replacement(found: str, nested: bool) -> str:
    first = found[0]
    if first in "-#":
        return " "
    if first == "(":
        return "(?)"
    if first == "/":
        return _comment(found, nested)
    if first == "$":
        tag = found[: found.index("$", 1) + 1]
        return " ? " if len(found) >= 2 * len(tag) and found.endswith(tag) else _BROKEN
    if len(found) < 2 or found[-1] != _CLOSING.get(first, first):
        return _BROKEN
    return " ? " if first == "'" else f"{_quoted_name(found[1:-1], nested)} "


def _comment(found: str, nested: bool) -> str:
    """A space, unless it does not end, holds another one (PostgreSQL nests them) or is code in disguise (MySQL, MariaDB)."""
    doubtful = (
        len(found) < 4
        or not found.endswith("*/")
        or found[2:4] == "M!"
        or found[2] == "!"
        or (nested and "/*" in found[2:])
    )
    return _BROKEN if doubtful else " "


def _quoted_name(name: str, folded: bool) -> str:
    """The marked name; only the mark for one that is none of the server's own (PostgreSQL's "Count" is not count)."""
    simple = _NAME.match(name if folded else name.lower())
    return _QUOTED + name if simple else _QUOTED


def _OTHER(match: re.Match[str]) -> str:  # noqa: N802 - a constant to its users
    return _replacement(match[0], False)


def _POSTGRESQL(match: re.Match[str]) -> str:  # noqa: N802
    return _replacement(match[0], True)


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
    if found := _setting(sql, first, rules):
        return found
    if first == "set" and (settings := _WITH_SETTINGS.match(text)):
        text = text[settings.end() :]
        words = _FIRST.match(text)
        if words is None or _transaction(text, words[1], rules):
            return UNKNOWN
        first = words[1]
    if rules.asking and re.fullmatch(rules.asking, text):
        return replace(_QUIET, plain=True)
    called = _calls(text, first)
    reads_session = _reads_session(sql, text, called, rules)
    stores = "into" in text and first in _STORING and _INTO.search(text) is not None
    remembers = stores or _remembers(text, rules)
    leaves_state = remembers or first not in _stateless(rules) or not _all_pure(called, rules)
    may_commit = _may_commit(text, first, rules)
    read = first in rules.reading and not (remembers or may_commit or reads_session or _has_effect(text, called, rules))
    rewinds = first == "rollback" and "prepared" not in text
    return Traits(
        plain=not (leaves_state or may_commit or rewinds or reads_session),
        read=read,
        leaves_state=leaves_state,
        may_commit=may_commit,
        begins=False,
        commits=False,
        rolls_back=False,
        rewinds=rewinds,
        reads_session=reads_session,
        inserts=first in _INSERTING or (first == "with" and _WRITES.search(text) is not None),
    )


def _reads_session(sql: str, text: str, called: set[str], rules: Rules) -> bool:
    """Whether it asks for what an earlier statement left in its session, by a function, a variable or SHOW."""
    if any(_bare(name, rules) in rules.session_readers for name in called):
        return True
    if rules.reading_session and _compiled(rules.reading_session).search(text):
        return True
    asks = rules.reading_session_by_name and (text.startswith("show ") or "_variables" in text)
    return bool(asks) and _compiled(rules.reading_session_by_name).search(sql.lower()) is not None


def _setting(sql: str, first: str, rules: Rules) -> Traits | None:
    """The traits of a setting whose text tells all of it; None: it is none, or not known to be one.

    It writes no data, so it counts as a read; what is local to a transaction does not, for it may allow writes there.
    """
    if first not in ("set", "select", "reset", "use") or (first == "select" and "set_config" not in sql.lower()):
        return None
    found = setting(_without_comments(sql, rules.lexicon), rules.forms, rules.not_restored)
    if found is None:
        return None
    if isinstance(found, Local):
        return replace(_QUIET, plain=True, read=False)
    return replace(_QUIET, setting=found)


def _calls(text: str, first: str) -> set[str]:
    """The names that are called, with their schemas."""
    if first == "with":
        text = _CTE.sub(" ", text)
    elif first == "create":
        text = _TARGET_OF_DDL.sub(" key ", text.replace("if not exists ", ""))
    return {name for before in text.split("(")[:-1] if (name := _call(before.rstrip(" ")))}


def _call(before: str) -> str:
    """The name that is called by a parenthesis after ``before``; empty: none, the parenthesis only groups or lists."""
    stem = before.rstrip(_NAME_CHARACTERS)
    name = before[len(stem) :]
    if stem and stem[-1] > "\x7f":
        return _QUOTED  # a name in other letters: somebody's own function
    if not name or name in _KEYWORDS:
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
    schema, dot, function = name.replace(_QUOTED, "").rpartition(".")
    return function if not dot or schema in rules.schemas else name


def _has_effect(text: str, called: set[str], rules: Rules) -> bool:
    if text.startswith("with ") and _WRITES.search(text):
        return True
    names = {name.rpartition(".")[2].strip(_QUOTED) for name in called}
    return "" in names or not names.isdisjoint(rules.functions_with_effect) or _said(rules.phrases_with_effect, text)


def _remembers(text: str, rules: Rules) -> bool:
    variable = "@" in text and rules.lexicon == "mysql" and _VARIABLE.search(text) is not None
    temporary = "temp" in text and _TEMPORARY.search(text) is not None
    if variable or temporary or _said(rules.phrases_with_state, text):
        return True
    return bool(rules.leaving_state) and _compiled(rules.leaving_state).search(text) is not None


def _may_commit(text: str, first: str, rules: Rules) -> bool:
    """An unknown leading word may; SET may when it turns autocommit on, sets a password or is for another statement."""
    if first in rules.implicit_commit or text.startswith("prepare transaction"):
        return True
    if first == "set":
        return "autocommit" in text or "password" in text or text.startswith("set statement")
    return first not in rules.stateless and first not in _NEVER_COMMIT


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
