"""gunicorn's configuration, as the guide has it for the end of a worker; what it did is told by a file."""

from __future__ import annotations

import os
from pathlib import Path


def worker_exit(server: object, worker: object) -> None:
    """Called in the worker, when its requests have ended."""
    from preloaded import db, shop

    shop.close(timeout=10)
    Path(os.environ["MASTER"]).with_name(f"closed-{os.getpid()}").write_text(str(db.stats()["size"]))
