"""Every knob has a sensible default, and every mistake is told, all at once."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustersql.config.knobs import KNOBS, Knobs, mistakes, settings
from clustersql.errors import ConfigError

DEFAULTS = {
    "timeout": 30.0,
    "connect_timeout": 5.0,
    "stagger": 0.25,
    "max_size": 10,
    "min_idle": 0,
    "max_lifetime": 1800.0,
    "max_idle_time": 600.0,
    "max_dials_per_node": 2,
    "stall_after": 2.0,
    "leak_after": 60.0,
    "probe_interval": 1.0,
    "policy": "least-latency",
    "local_threshold": 0.015,
    "writer": "single",
    "max_receive_queue": 500,
    "max_lag": None,
    "causal_wait": 0.02,
    "read_only": False,
    "read_role": "any",
    "zone": None,
    "zone_preference": 2.0,
    "zone_map": None,
    "retry_limit": 2,
    "retry_ratio": 0.2,
    "retry_reserve": 10,
    "breaker_base": 1.0,
    "breaker_cap": 30.0,
    "slow_start": 10.0,
    "failover_probe": 0.1,
    "discover": False,
    "patroni": None,
    "commit_guard": False,
    "commit_guard_table": "public.clustersql_commit",
    "commit_guard_required": False,
    "address_map": None,
    "forget_after": 60.0,
    "lineage_after": 60.0,
    "on_connect": None,
    "dialect": None,
}

WRONG = [
    ("max_sise", 3, "no such knob; did you mean max_size?"),
    ("zzz", 3, "no such knob; known: timeout, connect_timeout, "),
    ("read_role", "primary", "must be one of any, prefer-replica, replica, not 'primary'"),
    ("read_role", "prefer_replica", "did you mean prefer-replica?"),
    ("timeout", 0, "must be a number of seconds above 0, at most a year, not 0"),
    ("timeout", True, "not True"),
    ("timeout", "30", "not '30'"),
    ("timeout", None, "not None"),
    ("timeout", math.inf, "not inf"),
    ("timeout", math.nan, "not nan"),
    ("timeout", 10**400, "at most a year"),
    ("max_size", 0, "must be a whole number, at least 1, not 0"),
    ("max_size", -5, "not -5"),
    ("max_size", 2.0, "not 2.0"),
    ("min_idle", -1, "must be a whole number, at least 0, not -1"),
    ("retry_ratio", 1.5, "must be a number from 0 to 1, not 1.5"),
    ("read_only", 1, "must be true or false, not 1"),
    ("policy", "fastest", "must be one of least-latency, race, "),
    ("policy", "Race", "did you mean race?"),
    ("policy", [], "not []"),
    ("writer", "both", "must be one of single, any, not 'both'"),
    ("dialect", "postgres", "did you mean postgresql?"),
    ("discover", "yes", "must be true, false or \"patroni\", not 'yes'"),
    ("stall_after", 0, "must be a number of seconds above 0"),
    ("forget_after", 0, "must be a number of seconds above 0"),
    ("lineage_after", 0, "must be a number of seconds above 0"),
    (
        "address_map",
        "10.0.0.1=db1",
        "must be a table of addresses, such as {'10.0.0.1': 'db1.example.com:5432'}, not '10",
    ),
    ("address_map", {7: "db1"}, "the key 7 is no name or address"),
    ("address_map", {" n1": "db1"}, "the key ' n1' is no name or address"),
    ("address_map", {"10.0.0.1:*": "db1"}, "the key '10.0.0.1:*' is neither a name, a host, nor host:port"),
    ("address_map", {"10.0.0.1:99999": "db1"}, "the key '10.0.0.1:99999' is neither"),
    ("address_map", {"a": "db1", "b": "db1:"}, "'b' leads to 'db1:', which is neither host nor host:port"),
    ("address_map", {"a": ""}, "'a' leads to '', which"),
    ("address_map", {"a": None}, "'a' leads to None, which"),
    ("address_map", {"a": "mysql://u:p@h/d"}, "'a' leads to 'mysql://u:p@h/d', which"),
    ("address_map", {"a": "db1:0"}, "'a' leads to 'db1:0', which"),
    ("on_connect", "SET x", "must be a function that takes the driver's connection, not 'SET x'"),
]


def test_defaults() -> None:
    assert dataclasses.asdict(settings()) == DEFAULTS
    assert {name: knob.default for name, knob in KNOBS.items()} == DEFAULTS


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_knob_is_described(name: str) -> None:
    knob = KNOBS[name]
    assert knob.name == name
    assert knob.check.accepts(knob.default)
    assert len(knob.help) > 20
    assert knob.help.endswith(".")
    assert (knob.unit == "s") == (knob.type == "float" and name not in ("retry_ratio", "zone_preference"))
    assert knob.in_file == (name != "on_connect")


@pytest.mark.parametrize(("name", "value", "says"), WRONG)
def test_wrong(name: str, value: object, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**{name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"min_idle": 11}, "min_idle: must not exceed max_size, which is 10, not 11"),
        ({"max_size": 1, "min_idle": 2}, "min_idle: must not exceed max_size, which is 1, not 2"),
        (
            {"address_map": {"a": "b"}},
            "address_map: is for the members that discover finds: set discover as well, or leave it out",
        ),
        ({"breaker_cap": 0.5}, "breaker_base: must not exceed breaker_cap, which is 0.5, not 1.0"),
    ],
)
def test_knobs_that_contradict(values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**values)
    assert str(caught.value) == says


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        settings(timout=1, max_size=-1, min_idle=99, writer="all", stagger=1)
    lines = str(caught.value).splitlines()
    assert lines[0] == "3 mistakes in the settings:"
    assert [line.split(":")[0] for line in lines[1:]] == ["  - timout", "  - max_size", "  - writer"]


def test_accepts_functions_and_whole_seconds() -> None:
    chosen = settings(policy=max, on_connect=print, timeout=3, dialect="mysql")
    assert (chosen.policy, chosen.on_connect, chosen.dialect) == (max, print, "mysql")
    assert type(chosen.timeout) is float


def test_settings_are_frozen_and_slotted() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings().timeout = 1  # type: ignore[misc]
    assert not hasattr(Knobs(), "__dict__")


@given(st.dictionaries(st.sampled_from(sorted(KNOBS)), st.none() | st.booleans() | st.integers() | st.floats()))
def test_settings_raises_exactly_when_there_is_a_mistake(values: dict[str, object]) -> None:
    if list(mistakes(values)):
        with pytest.raises(ConfigError):
            settings(**values)
    else:
        made = settings(**values)
        assert all(getattr(made, name) == value for name, value in values.items())
        assert made.min_idle <= made.max_size
