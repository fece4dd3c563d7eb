"""Django's own suite over a cluster, beside the driver alone: the same result of each test, but for those in
`EXPECTED`.

``make django-suite``; ARGS: drivers, of `DRIVERS`, and versions of Django ("psycopg 4.2"); SUITES: labels in place of
`LABELS`. Not part of ``make test``: a run takes minutes.  The suite is that of Django's source distribution, which pip
fetches into ``.servers/django``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from clustersql.testing import MariaDBServer, PostgresCluster

DRIVERS = {"psycopg": ("postgresql", PostgresCluster), "mysqlclient": ("mysql", MariaDBServer)}
"""Ours -> the last part of the ENGINE, and what starts the server."""
VERSIONS = ("4.2", "5.2")
LABELS = (
    "backends transactions basic queries aggregation transaction_hooks select_for_update bulk_create get_or_create update lookup delete "
    "introspection raw_query multiple_database"
)
POOL = "OPTIONS['pool'] is refused: the cluster has a pool"
EXPECTED = {
    "backends.postgresql.tests.Tests.test_connect_pool": POOL,
    "backends.postgresql.tests.Tests.test_connect_pool_with_timezone": POOL,
    "backends.postgresql.tests.Tests.test_pooling_health_checks": POOL,
    "backends.postgresql.tests.Tests.test_pooling_not_support_persistent_connections": POOL,
    "backends.postgresql.tests.Tests.test_connect_role": "the server's refusal arrives as the cause of NoNodeAvailable",
    "backends.mysql.tests.IsolationLevelTests.test_auto_is_null_auto_config": "it is set once per session, by no cursor of Django's",
}
"""Tests whose result is another one through us, and why."""
FOLDER = Path(__file__).parents[1] / ".servers" / "django"

SETTINGS = """
import os
DATABASES = {
    alias: {
        "ENGINE": os.environ["SUITE_ENGINE"], "NAME": "app" if alias == "default" else "other", "USER": os.environ["SUITE_USER"],
        "PASSWORD": os.environ["SUITE_PASSWORD"], "HOST": "127.0.0.1", "PORT": os.environ["SUITE_PORT"],
    }
    for alias in ("default", "other")
}
SECRET_KEY = "suite"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
TEST_RUNNER = "suite_runner.Runner"
"""
RUNNER = """
import json, os, unittest
from django.test.runner import DiscoverRunner

found = {}

class Result(unittest.TextTestResult):
    def addSuccess(self, test): found[test.id()] = "passed"; super().addSuccess(test)
    def addFailure(self, test, err): found[test.id()] = "failed"; super().addFailure(test, err)
    def addError(self, test, err): found[test.id()] = "error"; super().addError(test, err)
    def addSkip(self, test, reason): found[test.id()] = "skipped"; super().addSkip(test, reason)
    def addExpectedFailure(self, test, err): found[test.id()] = "expected"; super().addExpectedFailure(test, err)
    def addUnexpectedSuccess(self, test): found[test.id()] = "unexpected"; super().addUnexpectedSuccess(test)
    def addSubTest(self, test, sub, err):
        if err: found[sub.id()] = "failed"
        super().addSubTest(test, sub, err)

class Runner(DiscoverRunner):
    def get_resultclass(self): return Result
    def suite_result(self, suite, result, **kwargs):
        with open(os.environ["SUITE_REPORT"], "w") as file: json.dump(found, file)
        return super().suite_result(suite, result, **kwargs)
"""


def source(version: str) -> Path:
    """Return the folder of a Django's source, fetched where it is not there yet."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not list(FOLDER.glob(f"django-{version}.*/tests/runtests.py")):
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(FOLDER)]
        subprocess.run([*pip, f"Django=={version}.*"], check=True)
        [archive] = FOLDER.glob(f"?jango-{version}.*.tar.gz")
        with tarfile.open(archive) as file:
            file.extractall(FOLDER, filter="data")
    return next(
        found for found in FOLDER.iterdir() if found.is_dir() and found.name.lower().startswith(f"django-{version}.")
    )


def outcomes(django: Path, engine: str, port: int, user: str, folder: Path) -> dict[str, str]:
    """Run the suite, and return what became of each test."""
    (folder / "suite_settings.py").write_text(SETTINGS)
    (folder / "suite_runner.py").write_text(RUNNER)
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    environment = os.environ | {
        "SUITE_ENGINE": engine,
        "SUITE_PORT": str(port),
        "SUITE_USER": user,
        "SUITE_PASSWORD": "secret",
        "SUITE_REPORT": str(report),
        "PYTHONPATH": os.pathsep.join([str(django), str(folder), os.environ.get("PYTHONPATH", "")]),
    }
    labels = os.environ.get("SUITES", LABELS).split()
    command = [sys.executable, "runtests.py", "--settings=suite_settings", "--parallel=1", "--noinput", *labels]
    done = subprocess.run(command, cwd=django / "tests", env=environment, capture_output=True, text=True, check=False)
    (folder / f"{engine}.log").write_text(done.stdout + done.stderr)
    if not report.exists():
        raise SystemExit(f"{engine}: the suite did not run:\n{done.stdout[-3000:]}{done.stderr[-6000:]}")
    found: dict[str, str] = json.loads(report.read_text())
    return found


def prepare(driver: str, server: MariaDBServer | PostgresCluster) -> None:
    """Let the user make and drop databases."""
    if driver == "psycopg":
        server.execute("n1", "ALTER ROLE app SUPERUSER")
    else:
        server.execute("n1", "GRANT ALL ON *.* TO app@'%'")


def main(arguments: list[str]) -> int:
    """Compare, and return how many tests differ."""
    different = 0
    drivers = [name for name in arguments if name in DRIVERS] or list(DRIVERS)
    versions = [name for name in arguments if name not in DRIVERS] or list(VERSIONS)
    for driver in drivers:
        backend, kind = DRIVERS[driver]
        with kind() as server, tempfile.TemporaryDirectory() as where:
            prepare(driver, server)
            for version in versions:
                ways = {
                    "alone": f"django.db.backends.{backend}",
                    "clustersql": f"clustersql.integrations.django.{backend}",
                }
                found = {
                    way: outcomes(source(version), engine, server.port("n1"), "app", Path(where))
                    for way, engine in ways.items()
                }
                for way, results in found.items():
                    counts = {kind: list(results.values()).count(kind) for kind in sorted(set(results.values()))}
                    print(f"{driver:12} Django {version} {way:11} {counts}", flush=True)
                alone, through = found["alone"], found["clustersql"]
                wrong = [test for test in sorted({*alone, *through}) if alone.get(test) != through.get(test)]
                different += len([test for test in wrong if test not in EXPECTED])
                for test in wrong:
                    why = f" ({EXPECTED[test]})" if test in EXPECTED else ""
                    print(f"   {test}: alone {alone.get(test)}, through us {through.get(test)}{why}")
                if wrong and os.environ.get("SUITE_LOG"):
                    print((Path(where) / f"{ways['clustersql']}.log").read_text()[-int(os.environ["SUITE_LOG"]) :])
    return different


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
