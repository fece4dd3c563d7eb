"""A password appears nowhere: not in a repr, a log line, an error with all its causes, a metric, or a warning."""

from __future__ import annotations

import json
import logging
import traceback
from typing import Any

import pytest
from support import face
from support.stage import Stage, failure

import clustersql

PASSWORD = "Sw0rdf1sh%20%40x"  # as it stands in a URL
PLAIN = "Sw0rdf1sh @x"


def _ways(stage: Stage, port: int, database: str) -> dict[str, tuple[tuple[str, ...], dict[str, Any]]]:
    scheme = "postgresql" if stage.postgres else "mysql"
    fields = stage.address(port) | {"database": database}
    ways: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
        "fields": ((), fields | {"password": PLAIN}),
        "callable": ((), fields | {"password": lambda: PLAIN}),
        "url": ((f"{scheme}://app:{PASSWORD}@127.0.0.1:{port}/{database}",), {}),
    }
    if stage.driver in ("psycopg", "psycopg2", "psycopg-aio"):
        ways["dsn"] = ((f"host=127.0.0.1 port={port} user=app password='{PLAIN}' dbname={database}",), {})
    return ways


@pytest.mark.parametrize("trouble", ["refused", "closed at once", "wrong password"])
def test_password_appears_nowhere(stage: Stage, trouble: str, caplog: pytest.LogCaptureFixture) -> None:
    """Search everything that the library says, in each trouble that makes it speak, however the password was given."""
    caplog.set_level(logging.DEBUG)
    if trouble == "refused":
        stage.a.stop()
    elif trouble == "closed at once":
        stage.a.close_on_accept()
    for way, (args, fields) in _ways(stage, stage.a.port, "app").items():
        caplog.clear()
        cluster = face.cluster(f"secrets_{way}", stage.driver, stage.loop, timeout=0.2)
        stage.clusters.append(cluster)
        cluster.add_node("a", *args, **fields)
        text = _said(cluster) + caplog.text
        assert "Sw0rdf1sh" not in text, way
        assert "@x" not in text, way


def _said(cluster: Any) -> str:
    """Everything that a cluster says while it is used in vain."""
    db = cluster.open()
    errors = [failure(use) for use in (lambda: db.execute("SELECT 1"), cluster.dial)]
    assert all(isinstance(error, clustersql.ClusterError) for error in errors)
    said = [repr(cluster), repr(db), repr(db._pool), repr(cluster.view), repr(cluster._topology.addresses)]
    said += [json.dumps(cluster.metrics()), json.dumps(db.stats())]
    said += [json.dumps(cluster.snapshot().as_dict()), repr(cluster.snapshot()), repr(cluster.events())]
    said += [str(db.route()), json.dumps(db.route().as_dict())]
    assert cluster.events()
    for error in errors:
        assert error is not None
        said += ["".join(traceback.format_exception(error)), repr(error), repr(error.__dict__)]
        said += [f"{each!r} {each}" for each in getattr(error, "errors", {}).values()]
    return "\n".join(said)


def test_wrong_dsn_does_not_repeat_the_password(psycopg_stage: Stage) -> None:
    """A mistake in a connection string is told without the string."""
    cluster = face.cluster("secrets", psycopg_stage.driver, psycopg_stage.loop, timeout=0.5)
    psycopg_stage.clusters.append(cluster)
    for dsn in (
        f"host=x password={PLAIN} oops",
        f"postgresql://app:{PASSWORD}@host:port/app",
        f"mysql://app:{PASSWORD}@host/app",
    ):
        error = failure(cluster.add_node, "a", dsn) or failure(cluster.open().execute, "SELECT 1")
        assert error is not None
        assert "Sw0rdf1sh" not in "".join(traceback.format_exception(error))
        failure(cluster.remove_node, "a")
