"""The tables of the documentation that are made from the code.

``.venv/bin/python tests/project/docs/tables.py`` writes them into the pages; a test fails when a page differs.  On a
page a table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from clustersql import drivers
from clustersql.config.knobs import KNOBS, Knob
from clustersql.drivers.contract import AsyncDriver, Driver

DOCS = Path(__file__).parents[3] / "docs"
_PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def knobs() -> str:
    """Every knob of a cluster."""
    return rows(
        ("knob", "default", "unit", "allowed", "in a file", "at run time", "meaning"), map(_knob, KNOBS.values())
    )


def _knob(knob: Knob) -> tuple[str, ...]:
    default = f"{knob.default:g}" if isinstance(knob.default, float) else str(knob.default)
    flags = ("yes" if flag else "no" for flag in (knob.in_file, knob.live))
    return f"`{knob.name}`", f"`{default}`", knob.unit, knob.check.allowed, *flags, knob.help


def abilities() -> str:
    """What each driver that is tested can do."""
    head = ("driver", "module", "URLs", "dialect", "descriptor", "transaction status", "autocommit", "connect timeout")
    return rows(head, (_abilities(drivers.load(name)) for name in drivers.NAMES))


def async_abilities() -> str:
    """What each asyncio driver can do."""
    head = ("driver", "module", "URLs", "dialect", "descriptor", "transaction status", "autocommit", "connect timeout")
    return rows(head, (_abilities(drivers.load_async(name)) for name in drivers.ASYNC_NAMES))


def _abilities(driver: Driver | AsyncDriver) -> tuple[str, ...]:
    can = driver.abilities
    flags = (can.descriptor, can.transaction_status, can.autocommit, can.connect_timeout)
    names = (f"`{driver.name}`", f"`{driver.module.__name__}`", f"`{driver.family}://`", driver.dialect.name)
    return names + tuple("yes" if flag else "no" for flag in flags)


def rows(head: tuple[str, ...], body: Iterable[tuple[str, ...]]) -> str:
    """Return a table."""
    lines = [head, ("---",) * len(head), *body]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


MADE = {"knobs": knobs, "abilities": abilities, "async_abilities": async_abilities}


def rewritten(text: str) -> str:
    """Return a page with its tables made anew."""
    return _PLACE.sub(lambda match: match[1] + MADE[match[2]]() + match[3], text)


def main() -> None:
    """Write the tables into the pages."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text("utf-8")
        if (new := rewritten(text)) != text:
            page.write_text(new, "utf-8")
            print(f"{page.name}: tables written")


if __name__ == "__main__":
    main()
