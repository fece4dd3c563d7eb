"""Fetch the MySQL server that the tests run, unless it is there: Debian 12 has none.  It stays in the tree, where git
does not see it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from clustersql.testing import StartError
from clustersql.testing.mysql import fetch

if __name__ == "__main__":
    # As tests/conftest.py has it.
    os.environ.setdefault("CLUSTERSQL_SERVERS", str(Path(__file__).parents[1] / ".servers"))
    try:
        fetch()
    except StartError as error:
        sys.exit(f"clustersql: {error}")
