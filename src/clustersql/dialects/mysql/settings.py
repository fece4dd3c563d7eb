"""Settings of MySQL and MariaDB whose text tells them in full.  https://mariadb.com/kb/en/set/"""

from __future__ import annotations

import re

from ...core.statements.settings import LEVEL, VALUE, WORD, Forms, Setting, form, plain


def _variable(name: str, statement: str, value: str | None) -> Setting:
    return Setting(name, statement, f"SHOW SESSION VARIABLES WHERE Variable_name = '{name}'", value)


def _my_set(found: re.Match[str]) -> Setting:
    name, value = found["name"].lower(), found["value"]
    return _variable(name, f"SET SESSION {name} = {value}", plain(value))


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


SETTING = "(?:set|use) "
"""How a statement begins that may be one of `FORMS`."""

FORMS: Forms = {
    form(rf"SET (?:SESSION|LOCAL) TRANSACTION ISOLATION LEVEL {LEVEL}"): _my_isolation,
    form(r"SET NAMES (?P<charset>'\w+'|\w+)(?: COLLATE (?P<collation>'\w+'|\w+))?"): _my_names,
    form(rf"SET (?:SESSION |LOCAL |@@SESSION\.|@@LOCAL\.)?(?P<name>{WORD})\s*:?=\s*(?P<value>{VALUE})"): _my_set,
    form(r"USE (?P<quote>`?)(?P<database>[\w$-]+)(?P=quote)"): lambda m: Setting(
        "database", f"USE `{m['database']}`", "SELECT DATABASE()", m["database"]
    ),
}
