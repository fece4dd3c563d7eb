"""A server that loads its application, uses it, and then forks: a child has sessions of its own, and the parent keeps
the one that it had.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from servers.integrations.story import Stage

SQLALCHEMY = """
import clustersql
from sqlalchemy import create_engine, text
engine = create_engine("{url}/?plugin=clustersql&clustersql_config=clusters.toml{pool}")
def session():
    with engine.connect() as conn:
        return conn.execute(text("{ask}")).scalar_one()
"""
DJANGO = """
import django
from django.conf import settings
import clustersql
clustersql.load("clusters.toml")
settings.configure(DATABASES={{"default": {{"ENGINE": "clustersql.integrations.django.{engine}", "NAME": "app", "CLUSTER": "shop"}}}})
django.setup()
from django.db import close_old_connections, connection
def session():
    close_old_connections()
    with connection.cursor() as cursor:
        cursor.execute("{ask}")
        return cursor.fetchall()[0][0]
"""
PREFORK = """
import json, os
before, (reader, writer) = session(), os.pipe()
child = os.fork()
if child:
    status = os.waitpid(child, 0)[1]
    print(json.dumps({"before": before, "child": json.loads(os.read(reader, 100)), "status": status, "after": session()}))
else:
    os.write(writer, json.dumps([session(), session()]).encode())
"""
WAYS = {
    "sqlalchemy-psycopg": (SQLALCHEMY, {"url": "postgresql+psycopg://", "pool": ""}),
    "sqlalchemy-pymysql": (SQLALCHEMY, {"url": "mysql+pymysql://", "pool": ""}),
    "sqlalchemy-mysqlclient": (SQLALCHEMY, {"url": "mysql+mysqldb://", "pool": "&clustersql_pool=sqlalchemy"}),
    "django-psycopg": (DJANGO, {"engine": "postgresql"}),
    "django-mysqlclient": (DJANGO, {"engine": "mysql"}),
}


@pytest.mark.parametrize("way", list(WAYS))
def test_a_fork(way: str, stage: Callable[[str], Stage], project: Path) -> None:
    set_up = stage(way.partition("-")[2])
    program, values = WAYS[way]
    ask = "SELECT pg_backend_pid()" if set_up.postgres else "SELECT CONNECTION_ID()"
    (project / "preforking.py").write_text(program.format(ask=ask, **values) + PREFORK)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "preforking.py"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    first, second = told["child"]
    assert told["status"] == 0, ran.stderr
    assert first == second != told["before"], "the child has one of its own, and keeps it"
    assert told["after"] == told["before"], "the parent's has outlived the child"
