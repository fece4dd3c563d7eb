"""Settings of PostgreSQL whose text tells them in full.  https://www.postgresql.org/docs/current/sql-set.html"""

from __future__ import annotations

import re

from ...core.statements.settings import LEVEL, LITERAL, LOCAL, VALUE, WORD, Forms, Local, Setting, form, plain

_GUC = rf"(?P<name>{WORD}(?:\.{WORD})?)"


_PARAMETER = r"(?:%s|\$\d+|%\(\w+\)s)(?:::text)?"


_CONFIG = rf"SELECT (?:pg_catalog\.)?set_config\s*\(\s*'{_GUC}'(?:::text)?\s*,\s*"


def _guc(name: str, statement: str, value: str | None = None) -> Setting:
    """A setting of PostgreSQL.  One of the user's own (with a dot) has exactly the text that it was given; others the
    server rewrites.
    """
    name = name.lower()
    exact = value if "." in name else None
    return Setting(name, statement, f"SELECT pg_catalog.current_setting('{name}', true)", exact, exact=True)


def _pg_set(found: re.Match[str]) -> Setting:
    name, value = found["name"], found["value"]
    return _guc(name, f"SET SESSION {name} TO {value}", _pg_meaning(value))


def _pg_meaning(token: str) -> str | None:
    """The text that a setting of the user's own has then; None: a list, or the default.  The server folds words and
    reads numbers.
    """
    if not re.fullmatch(VALUE, token):
        return None
    if token.startswith("'"):
        return plain(token)
    return str(int(token)) if re.fullmatch(r"[-+]?\d+", token) else plain(token.lower())


def _pg_configured(found: re.Match[str]) -> Setting:
    name, value = found["name"], found["value"]
    return _guc(name, f"SELECT pg_catalog.set_config('{name}', {value}, false)", _pg_meaning(value))


def _pg_isolation(found: re.Match[str]) -> Setting:
    level = " ".join(found["level"].lower().split())
    return _guc("default_transaction_isolation", f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}")


def _local(found: re.Match[str]) -> Local:
    return LOCAL


_LISTED = rf"(?:{VALUE}|\"[^\"\\%]*\")"


SETTING = r"(?:set|reset) |select (?:pg_catalog\.)?set_config\b"
"""How a statement begins that may be one of `FORMS`."""

FORMS: Forms = {
    # What they set is not looked at: it ends with the transaction.  A list of statements is none of these.
    form(r"SET (?:LOCAL|TRANSACTION|CONSTRAINTS) [^;]+"): _local,
    form(_CONFIG + rf"(?:{LITERAL}(?:::text)?|{_PARAMETER})\s*,\s*true\s*\)"): _local,
    form(_CONFIG + rf"(?P<value>{LITERAL})(?:::text)?\s*,\s*false\s*\)"): _pg_configured,
    form(rf"SET (?:SESSION )?TIME ZONE (?P<value>{VALUE})"): lambda m: _guc("timezone", f"SET TIME ZONE {m['value']}"),
    form(rf"SET (?:SESSION )?NAMES (?P<value>{LITERAL})"): lambda m: _guc("client_encoding", f"SET NAMES {m['value']}"),
    form(rf"SET (?:SESSION )?SCHEMA (?P<value>{LITERAL})"): lambda m: _guc("search_path", f"SET SCHEMA {m['value']}"),
    form(rf"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {LEVEL}"): _pg_isolation,
    form(rf"SET (?:SESSION )?{_GUC}(?:\s*=\s*| TO )(?P<value>{_LISTED}(?:\s*,\s*{_LISTED})*)"): _pg_set,
    form(r"RESET TIME ZONE"): lambda m: _guc("timezone", "RESET TIME ZONE"),
    form(rf"RESET {_GUC}"): lambda m: _guc(m["name"], f"RESET {m['name']}"),
}
