"""The snapshot's values: frozen, and ready for JSON."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from clustersql.reports import values
from clustersql.reports.values import (
    Axis,
    BudgetReport,
    DiscoveryReport,
    HolderReport,
    NodeReport,
    PoolReport,
    Snapshot,
    WaiterReport,
)

NODE = NodeReport(
    "a",
    False,
    "",
    "",
    "eu-1a",
    "up",
    "primary",
    "ready",
    ("primary", "any"),
    (Axis("role", "primary", "", ""),),
    (),
    "",
    0.0,
    1,
    "",
    "",
    (),
    "",
)


def holder(site: str, seconds: float) -> HolderReport:
    return HolderReport(site, "", seconds, "", "", "a", "idle", None, "", False)


def whole(*pools: PoolReport) -> Snapshot:
    budget, discovery = BudgetReport(10.0, 0, 0), DiscoveryReport((), ("db1",), ())
    return Snapshot("shop", "", "primary", "", (NODE,), pools, budget, discovery, {"max_size": 10})


def test_as_dict_has_the_names_of_the_fields_and_lists_for_tuples() -> None:
    pool = PoolReport("threads", {"size": 1}, (WaiterReport("any", True, "", 0.5),), (holder("app.py:1", 1.0),))
    told = whole(pool).as_dict()
    assert json.loads(json.dumps(told)) == told
    assert list(told) == [field.name for field in fields(Snapshot)]
    assert told["nodes"][0]["serves"] == ["primary", "any"]
    assert told["nodes"][0]["axes"] == [{"axis": "role", "value": "primary", "since": "", "why": ""}]
    assert told["pools"][0]["waiters"][0]["wants"] == "any"
    assert told["discovery"]["unused"] == ["db1"]


def test_the_holders_of_all_pools_are_one_list_the_oldest_first() -> None:
    first = PoolReport("threads", {}, (), (holder("b.py:2", 2.0), holder("c.py:3", 0.5)))
    second = PoolReport("asyncio", {}, (), (holder("a.py:1", 3.0),))
    assert [one.site for one in whole(first, second).holders] == ["a.py:1", "b.py:2", "c.py:3"]


def test_nothing_of_it_can_be_changed() -> None:
    told: Any = whole()
    with pytest.raises(FrozenInstanceError):
        told.cluster = "other"


@pytest.mark.parametrize("name", [name for name in vars(values) if name.endswith(("Report", "Snapshot", "Axis"))])
def test_every_field_says_what_it_means(name: str) -> None:
    import ast
    import inspect
    from itertools import pairwise

    [body] = [
        node.body for node in ast.parse(inspect.getsource(getattr(values, name))).body if isinstance(node, ast.ClassDef)
    ]
    told = [
        a.target.id
        for a, b in pairwise(body)
        if isinstance(a, ast.AnnAssign) and isinstance(a.target, ast.Name) and isinstance(b, ast.Expr)
    ]
    assert told == [field.name for field in fields(getattr(values, name))]
