"""MySQL, MariaDB and Galera."""

from __future__ import annotations

from .dialect import DIALECT

__all__ = ["DIALECT"]
