"""`clustersql check` over TLS, and up to a server's own limit of connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clustersql.testing import MariaDBServer


@pytest.fixture
def server() -> Iterator[MariaDBServer]:
    with MariaDBServer(tls=True, max_connections=15) as server:
        yield server


def test_tls_is_told_and_the_limit_is_not_exceeded(server: MariaDBServer, tmp_path: Path, cli: Callable) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        f'[clusters.safe]\ndriver = "pymysql"\narguments = {{ ssl = {{ ca = "{server.ca_file}" }} }}\n'
        f'[[clusters.safe.nodes]]\nname = "a"\nurl = "{server.dsn()}"\n'
    )
    ran = cli("check", file, "--json", "--max-connections", 1000, "--timeout", 20)
    assert (ran.status, ran.findings) == (0, [])
    [node] = ran.json["nodes"]
    assert node["tls"].startswith("TLSv1.")
    assert "_" in node["tls"].partition(" ")[2]  # the cipher: TLS_AES_256_GCM_SHA384
    [crowd] = ran.json["crowds"]
    assert crowd["wanted"] == crowd["reached"] == 15 - node["used_connections"] - 3
