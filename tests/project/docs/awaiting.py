"""Runs a program of the pages that awaits at its top level, as ``python -m asyncio`` takes what is typed: ``awaiting.py
FILE``.
"""

from __future__ import annotations

import ast
import asyncio
import sys
from pathlib import Path
from types import FunctionType


def main(file: Path) -> None:
    """Run ``file`` in an event loop."""
    code = compile(file.read_text("utf-8"), str(file), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    asyncio.run(FunctionType(code, {"__name__": "__main__"})())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
