"""The commands, as a test runs them."""

from support.commands import cli, interruptible

__all__ = ["cli", "interruptible"]
