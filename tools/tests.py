"""Run the tests in two processes at the same time: those of ``tests/live`` and a few folders more, and all others.

Most of them wait for servers, and one after the other they take three quarters of an hour.  Galera has fixed ports (those of the ancestor's config.toml),
so all that starts it is in one of the two.  Usage: ``python tools/tests.py``; what is to be chosen is for ``python -m pytest``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

APART = ("tests/live", "tests/pgbouncer", "tests/integrations")
PYTEST = [sys.executable, "-m", "pytest"]


def main() -> int:
    """Return 0 when both runs have passed.  The output of the one apart is printed after that of the others."""
    with tempfile.TemporaryFile() as output:
        apart = subprocess.Popen([*PYTEST, *APART], stdout=output, stderr=subprocess.STDOUT)
        others = subprocess.Popen([*PYTEST, *(f"--ignore={folder}" for folder in APART)])
        ended = [_status(others), _status(apart)]
        output.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(output.read())
    return max(ended)


def _status(run: subprocess.Popen[bytes]) -> int:
    """Wait, also for a run that is being interrupted from the keyboard: it has servers to stop."""
    while True:
        try:
            return abs(run.wait())
        except KeyboardInterrupt:
            continue


if __name__ == "__main__":
    sys.exit(main())
