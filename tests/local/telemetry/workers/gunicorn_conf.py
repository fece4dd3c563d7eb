"""gunicorn's configuration, as the page on observing has it; each worker runs three statements at its begin."""

from __future__ import annotations


def post_fork(server: object, worker: object) -> None:
    """Called in each worker, after the fork."""
    from publishing import shop

    from clustersql.telemetry.processes import publish

    publish(every=0.1)
    db = shop.open()
    for _ in range(3):
        db.execute("SELECT 1")
