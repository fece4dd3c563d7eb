"""Session settings that a statement's text tells in full, so that another session can be given the same.

Rules
-----
* Only simple, literal forms are known: one setting, its value a literal.  A parameter, a list of assignments, an expression, a comment, a
  backslash or a per cent sign (some drivers unescape it) make a statement unknown, and it pins the connection as any other.
* What ends with its transaction (`Local`) needs no restoring: the transaction is lost as a whole, or not at all.
* Who somebody is (``SET ROLE``), what works once (``insert_id``), and whether writes are allowed are never restored: `Rules.not_restored`.
* A restored setting is verified: the new session is asked, at once and once more when all are set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["LOCAL", "Local", "Setting", "agrees", "setting"]


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


def setting(sql: str, lexicon: str, not_restored: frozenset[str]) -> Setting | Local | None:
    """Return what a statement sets in the session; None: it is no setting of a known form, or must not be restored.

    >>> setting("SET app.tenant = '7'", "postgresql", frozenset()).value
    '7'
    """
    text = sql.strip().rstrip("; \n\t")
    for pattern, read in _FORMS.get(lexicon, {}).items():
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


# What both lexicons share

_LITERAL = r"'(?:[^'\\%]|'')*'"
_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_VALUE = rf"(?:{_LITERAL}|[-+]?\d+(?:\.\d+)?|{_WORD})"


def _form(pattern: str) -> re.Pattern[str]:
    """A pattern in which each space stands for any space."""
    return re.compile(pattern.replace(" ", r"\s+") + r"\Z", re.IGNORECASE)


def _plain(token: str) -> str | None:
    """The value that a token means; None: the server's default."""
    if token.startswith("'"):
        return token[1:-1].replace("''", "'")
    return None if token.lower() == "default" else token


# PostgreSQL.  https://www.postgresql.org/docs/current/sql-set.html

_GUC = rf"(?P<name>{_WORD}(?:\.{_WORD})?)"
_PARAMETER = r"(?:%s|\$\d+|%\(\w+\)s)(?:::text)?"
_CONFIG = rf"SELECT (?:pg_catalog\.)?set_config\s*\(\s*'{_GUC}'(?:::text)?\s*,\s*"


def _guc(name: str, statement: str, value: str | None = None) -> Setting:
    """A setting of PostgreSQL.  One of the user's own (with a dot) has exactly the text that it was given; others the server rewrites."""
    name = name.lower()
    exact = value if "." in name else None
    return Setting(name, statement, f"SELECT pg_catalog.current_setting('{name}', true)", exact, exact=True)


def _pg_set(found: re.Match[str]) -> Setting:
    name, value = found["name"], found["value"]
    return _guc(name, f"SET SESSION {name} TO {value}", _pg_meaning(value))


def _pg_meaning(token: str) -> str | None:
    """The text that a setting of the user's own has then; None: a list, or the default.  The server folds words and reads numbers."""
    if not re.fullmatch(_VALUE, token):
        return None
    if token.startswith("'"):
        return _plain(token)
    return str(int(token)) if re.fullmatch(r"[-+]?\d+", token) else _plain(token.lower())


def _pg_configured(found: re.Match[str]) -> Setting:
    name, value = found["name"], found["value"]
    return _guc(name, f"SELECT pg_catalog.set_config('{name}', {value}, false)", _pg_meaning(value))


def _pg_isolation(found: re.Match[str]) -> Setting:
    level = " ".join(found["level"].lower().split())
    return _guc("default_transaction_isolation", f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}")


def _local(found: re.Match[str]) -> Local:
    return LOCAL


_LEVEL = "(?P<level>serializable|repeatable read|read committed|read uncommitted)"
_LISTED = rf"(?:{_VALUE}|\"[^\"\\%]*\")"

_POSTGRESQL: Mapping[re.Pattern[str], Callable[[re.Match[str]], Setting | Local]] = {
    # What they set is not looked at: it ends with the transaction.  A list of statements is none of these.
    _form(r"SET (?:LOCAL|TRANSACTION|CONSTRAINTS) [^;]+"): _local,
    _form(_CONFIG + rf"(?:{_LITERAL}(?:::text)?|{_PARAMETER})\s*,\s*true\s*\)"): _local,
    _form(_CONFIG + rf"(?P<value>{_LITERAL})(?:::text)?\s*,\s*false\s*\)"): _pg_configured,
    _form(rf"SET (?:SESSION )?TIME ZONE (?P<value>{_VALUE})"): lambda m: _guc(
        "timezone", f"SET TIME ZONE {m['value']}"
    ),
    _form(rf"SET (?:SESSION )?NAMES (?P<value>{_LITERAL})"): lambda m: _guc(
        "client_encoding", f"SET NAMES {m['value']}"
    ),
    _form(rf"SET (?:SESSION )?SCHEMA (?P<value>{_LITERAL})"): lambda m: _guc("search_path", f"SET SCHEMA {m['value']}"),
    _form(rf"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {_LEVEL}"): _pg_isolation,
    _form(rf"SET (?:SESSION )?{_GUC}(?:\s*=\s*| TO )(?P<value>{_LISTED}(?:\s*,\s*{_LISTED})*)"): _pg_set,
    _form(r"RESET TIME ZONE"): lambda m: _guc("timezone", "RESET TIME ZONE"),
    _form(rf"RESET {_GUC}"): lambda m: _guc(m["name"], f"RESET {m['name']}"),
}


# MySQL and MariaDB.  https://mariadb.com/kb/en/set/


def _variable(name: str, statement: str, value: str | None) -> Setting:
    return Setting(name, statement, f"SHOW SESSION VARIABLES WHERE Variable_name = '{name}'", value)


def _my_set(found: re.Match[str]) -> Setting:
    name, value = found["name"].lower(), found["value"]
    return _variable(name, f"SET SESSION {name} = {value}", _plain(value))


def _my_names(found: re.Match[str]) -> Setting:
    """By its client's part, which the server gives another name when it is the old "utf8"."""
    charset, collation = found["charset"].strip("'").lower(), found["collation"]
    statement = f"SET NAMES {charset}" + (f" COLLATE {collation}" if collation else "")
    question = "SHOW SESSION VARIABLES WHERE Variable_name = 'character_set_client'"
    return Setting("names", statement, question, None if charset in ("utf8", "default") else charset)


def _my_isolation(found: re.Match[str]) -> Setting:
    level = " ".join(found["level"].upper().split())
    question = "SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation')"
    return Setting("isolation", f"SET SESSION TRANSACTION ISOLATION LEVEL {level}", question, level.replace(" ", "-"))


_MYSQL: Mapping[re.Pattern[str], Callable[[re.Match[str]], Setting | Local]] = {
    _form(rf"SET (?:SESSION|LOCAL) TRANSACTION ISOLATION LEVEL {_LEVEL}"): _my_isolation,
    _form(r"SET NAMES (?P<charset>'\w+'|\w+)(?: COLLATE (?P<collation>'\w+'|\w+))?"): _my_names,
    _form(rf"SET (?:SESSION |LOCAL |@@SESSION\.|@@LOCAL\.)?(?P<name>{_WORD})\s*:?=\s*(?P<value>{_VALUE})"): _my_set,
    _form(r"USE (?P<quote>`?)(?P<database>[\w$-]+)(?P=quote)"): lambda m: Setting(
        "database", f"USE `{m['database']}`", "SELECT DATABASE()", m["database"]
    ),
}

_FORMS: Mapping[str, Mapping[re.Pattern[str], Callable[[re.Match[str]], Any]]] = {
    "postgresql": _POSTGRESQL,
    "mysql": _MYSQL,
}
