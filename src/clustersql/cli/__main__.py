"""The command ``clustersql``.  An expected error is one clear line on stderr and exit status 2, never a traceback."""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]

NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command line of this process and exit: 0 good, 1 findings, 2 cannot run, 130 interrupted."""
    try:
        from .app import run
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package not in NEEDED:
            raise
        print(f'clustersql: the command line needs {package}: pip install "clustersql[cli]"', file=sys.stderr)
        sys.exit(2)
    # Servers are stopped and scratch tables dropped then, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
