"""The specs of the lab: an example's, for an endpoint that is thrown away."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tidegate import spec
from tidegate.cli.artifacts import prepare
from tidegate.features.examples.training_process import adapt_spec

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def adapted(folder: Path, period: str = "5s") -> dict[str, Any]:
    model = folder / "v 1.ubj"
    model.write_bytes(b"model")
    alarm = {"metric": "ModelLatency", "above": "100ms", "period": period, "periods": 3}
    given = {
        "endpoint": "payroll-fraud",
        "model": {"image": "tidegate/xgboost", "data": model.as_uri()},
        "autoscaling": {"min": 2, "max": 10},
        "rollout": {"strategy": "linear", "step": "25%"},
        "alarms": {
            "slow": {**alarm, "statistic": "p99"},
            "errors": {**alarm, "metric": "Invocation5XXErrors", "above": "1%", "statistic": "Average"},
        },
        "tags": {"tidegate:example": "payroll-fraud"},
    }
    before = repr(given)
    changed = adapt_spec(given, "thrown-away", {"tidegate:live-run": "lab-1"})
    assert repr(given) == before
    return changed


def test_it_has_its_endpoint_and_tags_and_neither_scales_nor_rolls_back_for_a_percentile_of_few(
    tmp_path: Path,
) -> None:
    made = adapted(tmp_path)
    assert made["endpoint"] == "thrown-away" and "autoscaling" not in made
    assert made["tags"] == {"tidegate:example": "payroll-fraud", "tidegate:live-run": "lab-1"}
    assert set(made["alarms"]) == {"errors"}
    assert set(adapted(tmp_path, "1m")["alarms"]) == {"errors", "slow"}


def test_a_command_reads_the_same_version_from_it_as_the_server(tmp_path: Path) -> None:
    made = adapted(tmp_path)
    sent = prepare(replace(spec.load("{}"), data=made), tmp_path, must_exist=True)
    assert spec.parse_runnable(sent, NOW) == spec.parse_runnable(made, NOW)
    (tmp_path / "v 1.ubj").write_bytes(b"another")
    other = adapt_spec({**made, "alarms": {}}, "thrown-away", {})
    assert spec.parse_runnable(other, NOW).config.name != spec.parse_runnable(made, NOW).config.name
