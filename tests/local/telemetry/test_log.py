"""What is written to the log."""

from __future__ import annotations

import logging

import pytest

from clustersql import Cluster
from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Answered, SessionLost


def test_a_change_of_state_is_one_line_though_the_driver_said_three(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster("books", driver="sqlite3")
    cluster.add_node("a", database=":memory:")
    with caplog.at_level(logging.INFO, "clustersql"):
        cluster._topology.tell(Answered("a", Report(Role.PRIMARY)))
        generation = cluster.view.by_name["a"].generation
        cluster._topology.tell(SessionLost("a", generation, "it closed the connection\n\tperhaps it\n\tdied"))
    assert caplog.messages == [
        "cluster books: node a is up, primary, ready",
        "cluster books: node a is suspect, primary, ready: it closed the connection perhaps it died",
    ]
