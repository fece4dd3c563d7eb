"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis

# Servers that are fetched stay in the tree, where git does not see them, and are there for the next run.
os.environ.setdefault("CLUSTERSQL_SERVERS", str(Path(__file__).parents[1] / ".servers"))

# A deadline per example would be an assertion of speed: on a busy machine it fails, and says nothing of what is tested.
hypothesis.settings.register_profile("clustersql", deadline=None)
hypothesis.settings.load_profile("clustersql")

# Some drivers read the system's whole store of authorities whenever they dial, encrypted or not: 30 ms of work each time, which was a good part of
# these tests' time.  Nobody here is certified by one of them.
os.environ["SSL_CERT_FILE"] = os.environ["SSL_CERT_DIR"] = os.devnull
