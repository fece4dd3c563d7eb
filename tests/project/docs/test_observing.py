"""What an operator takes from docs/observing: every metric that it names is exported, and every alert has its runbook."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from project.docs.pages import ROOT

from clustersql.telemetry.families import COUNTER, FAMILIES
from clustersql.telemetry.http import PATHS
from clustersql.telemetry.prometheus import spelled

FOLDER = ROOT / "docs" / "observing"
EXPORTED = {spelled(family) + ("_total" if family.kind == COUNTER else "") for family in FAMILIES}
LABELS = {"db_client_connection_pool_name", "db_client_connection_state"}


def metrics(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:clustersql|db_client)_\w+", expression)) - LABELS


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_metric_of_the_alerts_is_exported() -> None:
    for rule in rules():
        named = metrics(rule["expr"])
        assert named, rule["alert"]
        assert named <= EXPORTED, rule["alert"]


def test_every_alert_has_a_runbook_and_the_runbook_no_other() -> None:
    runbook = (FOLDER / "runbook.md").read_text("utf-8")
    alerts = [rule["alert"] for rule in rules()]
    assert re.findall(r"^## (Clustersql\w+)$", runbook, re.MULTILINE) == alerts
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"runbook.md#{rule['alert'].lower()}"


def test_every_metric_of_the_dashboard_is_exported() -> None:
    board = json.loads((FOLDER / "grafana.json").read_text("utf-8"))
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions += [each["query"] for each in board["templating"]["list"]]
    assert len(board["panels"]) == 13
    assert set().union(*map(metrics, expressions)) <= EXPORTED
    assert all(metrics(target["expr"]) for panel in board["panels"] for target in panel["targets"])


def test_the_recipe_asks_for_paths_that_there_are() -> None:
    recipe = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text("utf-8"))
    template = recipe["spec"]["template"]
    [container] = template["spec"]["containers"]
    paths = [each["httpGet"]["path"] for name, each in container.items() if name.endswith("Probe")]
    paths.append(template["metadata"]["annotations"]["prometheus.io/path"])
    assert sorted(paths) == ["/livez", "/metrics", "/readyz", "/readyz"]
    assert set(paths) <= PATHS.keys()
