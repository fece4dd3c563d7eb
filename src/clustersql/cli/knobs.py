"""``clustersql knobs``."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ..config.knobs import KNOBS, Knob

__all__ = ["knobs"]


def knobs() -> None:
    """Print every setting of a cluster and its default."""
    table = Table("knob", "default", "what it is", box=None, pad_edge=False, header_style="bold")
    for knob in KNOBS.values():
        table.add_row(knob.name, _default(knob), knob.help)
    Console().print(table)


def _default(knob: Knob) -> str:
    value = f"{knob.default:g}" if isinstance(knob.default, float) else str(knob.default)
    return f"{value} {knob.unit}".strip()
