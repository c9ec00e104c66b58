"""The alerts and the dashboard that are shipped ask for metrics and labels that there are, in PromQL that is read."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.system_packages import lacks
from tidegate.service import prometheus

ROOT = Path(__file__).parents[4]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
CASES = ALERTS.with_name("alerts.test.yaml")
BOARD = json.loads((ROOT / "deploy" / "grafana" / "tidegate.json").read_text())
PROMTOOL = shutil.which("promtool")
LABELS = {
    *("endpoint", "variant", "config", "generation", "dimension", "alarm", "state", "phase", "outcome", "le"),
    *("model", "job", "kind", "name"),
}
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason=lacks("promtool"))


def metrics() -> set[str]:
    """Names on the page, those of histograms with their endings."""
    names = {name for name, _, _ in prometheus.families()}
    histograms = {name for name, *_ in (*prometheus.HISTOGRAMS, *prometheus.MODEL_HISTOGRAMS)}
    return names | {f"{name}_{end}" for name in histograms for end in ("bucket", "sum", "count")}


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def board_expressions() -> Iterator[str]:
    texts = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    texts += [one["expr"] for one in BOARD["annotations"]["list"]]
    return (text.replace("$__rate_interval", "5m").replace("$endpoint", ".*") for text in texts)


def expressions() -> list[str]:
    return [rule["expr"] for rule in alerts()] + list(board_expressions())


def test_every_metric_that_is_asked_for_exists() -> None:
    asked = {name for text in expressions() for name in re.findall(r"tidegate_\w+", text)}
    queries = {name for one in BOARD["templating"]["list"] for name in re.findall(r"tidegate_\w+", str(one))}
    assert len(asked) > 20
    assert (asked | queries) - metrics() == set()


def test_every_label_that_is_asked_for_exists() -> None:
    grouped = {
        label.strip()
        for text in expressions()
        for inner in re.findall(r"\b(?:by|on) \(([^)]*)\)", text)
        for label in inner.split(",")
    }
    chosen = {label for text in expressions() for label in re.findall(r"(\w+)(?:=~|!=|=)\"", text)}
    shown = set(re.findall(r"\{\{\s*\$?(?:labels\.)?(\w+)\s*\}\}", ALERTS.read_text() + json.dumps(BOARD)))
    assert {"endpoint", "le", "phase", "outcome"} <= grouped | chosen | shown
    assert (grouped | chosen | shown) - LABELS == set()


def test_each_alert_says_what_is_wrong_and_how_grave_it_is() -> None:
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())
    for rule in alerts():
        assert rule["annotations"]["summary"].strip(), rule
        assert rule["labels"]["severity"] in ("page", "ticket"), rule


def test_every_alert_is_tested_to_fire() -> None:
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == {rule["alert"] for rule in alerts()}


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def run_promtool(*words: str, folder: Path = ALERTS.parent) -> str:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_alerts_fire_and_stay_silent_as_promtool_says() -> None:
    assert f"{len(alerts())} rules found" in run_promtool("check", "rules", ALERTS.name)
    assert "SUCCESS" in run_promtool("test", "rules", CASES.name)


@needs_promtool
def test_promtool_reads_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{place}", "expr": text} for place, text in enumerate(board_expressions())]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    assert f"{len(rules)} rules found" in run_promtool("check", "rules", "rules.yaml", folder=tmp_path)
