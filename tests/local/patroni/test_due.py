"""When Patroni is asked, and where."""

from __future__ import annotations

import pytest

import clustersql
from clustersql.core.faults import Fault
from clustersql.core.view.members import Members
from clustersql.core.view.node import Epoch, Report, Role
from clustersql.core.view.observations import Answered, Unreachable
from clustersql.nodes.patroni import Patroni
from clustersql.nodes.topology import Topology

NO = Members("Patroni", why="nobody answers", outside=True)


@pytest.fixture
def topology() -> Topology:
    """Two nodes of which nobody has heard yet; Patroni is asked at their own hosts."""
    cluster = clustersql.Cluster("shop", driver="psycopg", discover="patroni", probe_interval=1.0)
    cluster.add_node("n1", "postgresql://db1/shop")
    cluster.add_node("n2", "postgresql://[fd00::2]:5433/shop")
    return cluster._topology


def answer(topology: Topology, *nodes: str) -> None:
    for name in nodes:
        role = Role.PRIMARY if name == "n1" else Role.REPLICA
        topology.tell(Answered(name, Report(role, epoch=Epoch("system identifier 7", 1))))


def moments(patroni: Patroni, until: float, starving: bool = False) -> list[float]:
    """At which tenths of a second it is asked, where each question ends at once."""
    found = []
    for tenth in range(round(until * 10)):
        if patroni.due(tenth / 10, starving):
            found.append(tenth / 10)
            patroni.heard(None, NO)
    return found


def test_nobody_is_asked_before_a_node_has_answered(topology: Topology) -> None:
    patroni = Patroni(topology)
    assert patroni.due(0.0, True) == ()
    answer(topology, "n1")
    assert list(map(str, patroni.due(0.0, True))) == ["http://db1:8008", "http://[fd00::2]:8008"]


def test_it_is_asked_one_question_at_a_time_and_first_where_it_has_answered(topology: Topology) -> None:
    answer(topology, "n1", "n2")
    patroni = Patroni(topology)
    one, other = patroni.due(0.0, False)
    assert patroni.due(1000.0, True) == ()
    patroni.heard(other, Members("Patroni", outside=True))
    assert patroni.due(1000.0, False) == (other, one)


def test_it_is_asked_seldom_while_all_is_well_and_often_in_trouble(topology: Topology) -> None:
    answer(topology, "n1", "n2")
    patroni = Patroni(topology)
    calm = moments(patroni, 100.0)
    assert 9 <= len(calm) <= 12, calm
    patroni = Patroni(topology)
    patroni.due(0.0, False)
    patroni.heard(None, NO)
    topology.tell(Unreachable("n1", Fault.LOST, "gone"))
    hurried = moments(patroni, 100.0, starving=True)
    # At once, after a second, after two more, and so on: an outage that lasts is asked about as seldom as none.
    assert hurried[0] == 0.0
    assert len([moment for moment in hurried if moment < 10.0]) >= 3, hurried
    assert len(hurried) <= 16, hurried


def test_after_an_outage_the_next_one_is_asked_about_at_once(topology: Topology) -> None:
    answer(topology, "n1", "n2")
    patroni = Patroni(topology)
    for _ in range(3):
        topology.tell(Unreachable("n2", Fault.LOST, "gone"))
        assert patroni.due(0.0, False)
        patroni.heard(None, NO)
        assert not patroni.due(0.5, False)
        answer(topology, "n2")
        assert not patroni.due(0.5, False)


def test_another_kind_of_discovery_asks_no_patroni() -> None:
    cluster = clustersql.Cluster("shop", driver="psycopg", discover=True)
    cluster.add_node("n1", "postgresql://db1/shop")
    answer(cluster._topology, "n1")
    assert Patroni(cluster._topology).due(0.0, True) == ()


def test_where_no_node_has_a_host_it_is_said_that_nobody_can_be_asked() -> None:
    cluster = clustersql.Cluster("shop", driver="psycopg", discover="patroni")
    cluster.add_node("n1", "host=/run/postgresql dbname=shop")
    answer(cluster._topology, "n1")
    assert Patroni(cluster._topology).due(0.0, True) == ()
    why = "Patroni could not tell the members: no node has a host; say in the knob patroni where it is asked"
    assert cluster.snapshot().discovery.complaints == (why,)
