"""Alerts and dashboard ask only for what `/metrics` tells, and the page about them names every one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from ragd.daemon.metric_names import METRICS
from ragd.daemon.metrics import STATES
from tests.docs.promql import FUNCTIONS, read

HOWTO = Path(__file__).parents[2] / "docs/howto"
RULES_FILE, DASHBOARD_FILE = HOWTO / "alert-rules.yml", HOWTO / "grafana-dashboard.json"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES_FILE.read_text("utf-8"))["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads(DASHBOARD_FILE.read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
OF_PROMETHEUS = {"instance", "job"}


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression with the name of where it stands."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in PANELS:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], re.sub(r", \w+\)$", ")", variable["query"]["query"])


def labels_of(series: str) -> set[str]:
    """The labels of a series that is told. Raises KeyError for one that is not."""
    if series == "up":  # what Prometheus itself tells of every target
        return OF_PROMETHEUS
    name = series if series in METRICS else re.sub(r"_(bucket|sum|count)$", "", series)
    suffix = series.removeprefix(name)
    metric = METRICS[name]
    assert (metric.kind == "histogram") == bool(suffix), series
    return {*metric.labels, *OF_PROMETHEUS, *({"le"} if suffix == "_bucket" else ())}


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_every_name_in_an_expression_is_told(place: str, expression: str) -> None:
    found = read(expression)
    assert found.metrics, place
    assert found.functions <= FUNCTIONS, place
    known: set[str] = set()
    for series, matchers in found.metrics:
        assert matchers <= labels_of(series), (place, series)
        known |= labels_of(series)
    assert found.grouped <= known, place
    for state in re.findall(r'ragd_state\{[^}]*state="(\w+)"', expression):
        assert state in STATES
    counters = [series for series, _ in found.metrics if series.endswith(("_total", "_bucket", "_count"))]
    assert not counters or found.functions & {"rate", "increase"}, place


def test_every_metric_that_has_a_course_is_on_the_dashboard() -> None:
    shown = {series for place, expression in expressions() for series, _ in read(expression).metrics}
    shown |= {re.sub(r"_(bucket|sum|count)$", "", series) for series in shown}
    left_out = set(METRICS) - shown
    assert {name for name in left_out if METRICS[name].kind != "gauge"} <= {"ragd_encode_seconds_total"}


@pytest.mark.parametrize(
    "wrong",
    [
        "rate(ragd_chunks[5m]",
        "ragd_chunks{state}",
        'ragd_chunks{state="a"',
        "rate(ragd_chunks[often])",
        '{job="ragd"}',
        "ragd_chunks ? 1",
    ],
)
def test_the_reader_of_expressions_refuses_what_is_none(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"unbalanced|not a|without a metric|not understood"):
        read(wrong)


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    page = (HOWTO / "watch-ragd-with-prometheus.md").read_text("utf-8")
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names)) > 12
    assert set(re.findall(r"^\| `(Ragd\w+)` \|", page, re.MULTILINE)) == set(names)
    for rule in RULES:
        assert re.fullmatch(r"Ragd[A-Z]\w+", rule["alert"])
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "0m"))
        assert "$labels.instance" in rule["annotations"]["summary"]
        assert set(rule["annotations"]) == {"summary", "description"}
        assert re.search(r"`ragd |journalctl|docs/reference", rule["annotations"]["description"]), rule["alert"]


@pytest.mark.parametrize(
    "metric",
    [
        "ragd_freshness_seconds_bucket",
        "ragd_state",
        "ragd_proof_age_seconds",
        "ragd_proof_equal",
        "ragd_queue_oldest_seconds",
        "ragd_workers_wanted",
        "ragd_disk_free_bytes",
        "ragd_redis_up",
        "ragd_search_seconds_bucket",
    ],
)
def test_an_alert_watches_it(metric: str) -> None:
    assert any(metric == series for rule in RULES for series, _ in read(rule["expr"]).metrics)


def test_the_dashboard_can_be_imported_anywhere() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(ids) == len(set(ids)) > 20
    assert all(panel["title"] for panel in PANELS)
    sources = {
        json.dumps(part["datasource"])
        for panel in PANELS
        for part in (panel, *panel.get("targets", ()))
        if "datasource" in part
    }
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "instance"]
    boxes = [panel["gridPos"] for panel in PANELS]
    assert all(box["x"] + box["w"] <= 24 for box in boxes)
    assert not any(_overlap(a, b) for a, b in combinations(boxes, 2))


def _overlap(a: dict[str, int], b: dict[str, int]) -> bool:
    return all(a[at] < b[at] + b[size] and b[at] < a[at] + a[size] for at, size in (("x", "w"), ("y", "h")))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(RULES_FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
