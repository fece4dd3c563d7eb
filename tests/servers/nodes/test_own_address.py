"""A program that names a host of its own at connect is led to the node all the same."""

from __future__ import annotations

import psycopg
import pymysql

import clustersql
from clustersql.testing import MariaDBServer, PostgresCluster


def test_an_unchanged_connect_goes_to_the_node_and_not_to_its_own_host(postgres_cluster: PostgresCluster) -> None:
    postgres_cluster.heal()
    cluster = clustersql.Cluster("pg", driver=psycopg, timeout=20)
    cluster.add_node("n1", postgres_cluster.dsn("n1"))
    conn = cluster.connect(host="192.0.2.1", port=1, user="nobody", password="wrong", application_name="mine")
    try:
        row = conn.execute("SELECT current_user, current_setting('application_name')").fetchone()
        assert row == ("app", "mine")
    finally:
        conn.close()
        cluster.close()


def test_the_caller_s_database_and_other_arguments_are_its_own(mariadb_server: MariaDBServer) -> None:
    mariadb_server.heal()
    cluster = clustersql.Cluster("maria", driver=pymysql, timeout=20)
    cluster.add_node("n1", mariadb_server.dsn("n1"))
    raw = cluster.dial(host="192.0.2.1", user="nobody", passwd="wrong", database="information_schema")
    try:
        with raw.cursor() as cur:
            cur.execute("SELECT DATABASE(), SUBSTRING_INDEX(USER(), '@', 1)")
            assert cur.fetchone() == ("information_schema", "app")
    finally:
        raw.close()
        cluster.close()
