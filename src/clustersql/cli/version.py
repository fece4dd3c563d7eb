"""``clustersql version``."""

from __future__ import annotations

import platform

import typer

from .. import __version__

__all__ = ["version"]


def version() -> None:
    """Print the versions of clustersql and Python."""
    typer.echo(f"clustersql {__version__} (Python {platform.python_version()})")
