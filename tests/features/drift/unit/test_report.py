"""The report of an execution in SageMaker's shapes, and what stands in its way."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.features.drift.unit.drift_looks import Folder, analyse, usual
from tidegate.domain.drift import DriftOutcome, DriftReportPlace, DriftVerdict
from tidegate.features.drift.shapes import make_constraints, make_statistics, read_statistics
from tidegate.rows.profile import TableProfile

FILES = ["constraint_violations.json", "constraints.json", "statistics.json"]


class Monitored(Folder):
    """SageMaker's files of a baseline, and executions whose reports go into ``root/reports``."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        draw, self.table = random.Random(1), TableProfile(random.Random(2).randrange)
        for _ in range(1_000):
            self.table.add({name: value for name, value in usual(draw).items() if name != "prediction"})

    def execute(
        self, constraints: object = None, below: str = "reports", roots: tuple[str, ...] = ()
    ) -> DriftOutcome:
        document = make_constraints(self.table, 0.1) if constraints is None else constraints
        (self.root / "constraints.json").write_text(json.dumps(document))
        place = DriftReportPlace(
            (self.root / below).as_uri(),
            (self.root / "constraints.json").as_uri(),
            roots=(str(self.root),),
        )
        return analyse(self.task(make_statistics(self.table), by=(), report=place))

    def report(self, name: str) -> Any:
        return json.loads((self.root / "reports" / name).read_text())


@pytest.fixture
def monitored(tmp_path: Path) -> Monitored:
    return Monitored(tmp_path)


def dear(draw: random.Random) -> dict[str, Any]:
    row = usual(draw)
    return {**row, "amount": row["amount"] + 4}


def of(monitored: Monitored, **changes: Any) -> dict[str, Any]:
    """Constraints whose comparison is another."""
    made = make_constraints(monitored.table, 0.1)
    made["monitoring_config"]["distribution_constraints"] |= changes
    return made


def test_a_report_describes_window_baseline_and_violations(monitored: Monitored) -> None:
    monitored.capture(monitored.rows(dear), monitored.task().start)
    assert monitored.execute().verdict is DriftVerdict.DRIFT
    assert sorted(path.name for path in (monitored.root / "reports").iterdir()) == FILES
    [violation] = monitored.report("constraint_violations.json")["violations"]
    assert (violation["feature_name"], violation["constraint_check_type"]) == ("amount", "baseline_drift_check")
    window = read_statistics(monitored.report("statistics.json"), random.Random(1).randrange)
    assert window.rows == 600 and 103 < window.columns["amount"].mean < 105
    assert monitored.report("constraints.json")["features"] == make_constraints(monitored.table, 0.1)["features"]


def test_the_threshold_of_the_constraints_counts(monitored: Monitored) -> None:
    monitored.capture(monitored.rows(dear), monitored.task().start)
    assert monitored.execute(of(monitored, comparison_threshold=0.4)).verdict is DriftVerdict.NO_DRIFT
    assert monitored.report("constraint_violations.json") == {"violations": []}
    assert monitored.execute(of(monitored, comparison_threshold=0.15)).verdict is DriftVerdict.DRIFT


REFUSED: list[tuple[str, object, str]] = [
    (
        "of other columns",
        {"features": [{"name": "price"}]},
        "its features are not those of the statistics: amount,",
    ),
    ("none", [1], "this is no constraints.json"),
    ("without names", {"features": [{"inferred_type": "String"}]}, "this is no constraints.json"),
]


@pytest.mark.parametrize(("what", "constraints", "said"), REFUSED, ids=[one[0] for one in REFUSED])
def test_constraints_that_cannot_be_used_fail_the_execution(
    monitored: Monitored, what: str, constraints: object, said: str
) -> None:
    monitored.capture(monitored.rows(), monitored.task().start)
    outcome = monitored.execute(constraints)
    assert outcome.verdict is DriftVerdict.UNKNOWN and said in outcome.reason, outcome.reason
    assert "constraints.json" in outcome.reason and not (monitored.root / "reports").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"perform_comparison": "disabled"}, "give Enabled or Disabled"),
        ({"categorical_comparison_threshold": 2}, "categorical_comparison_threshold is 2"),
        ({"comparison_threshold": 0}, "comparison_threshold is 0"),
        ({"comparison_threshold": float("nan")}, "comparison_threshold is nan"),
    ],
)
def test_a_comparison_that_would_say_nothing_is_refused(
    monitored: Monitored, changes: dict[str, Any], said: str
) -> None:
    monitored.capture(monitored.rows(), monitored.task().start)
    outcome = monitored.execute(of(monitored, **changes))
    assert outcome.verdict is DriftVerdict.UNKNOWN and said in outcome.reason, outcome.reason


def test_a_window_of_which_nothing_is_known_has_no_report(monitored: Monitored) -> None:
    monitored.capture(["1,2,3", "half a li"], monitored.task().start)
    row = monitored.rows(count=1)[0]
    captured = json.loads(row)
    captured["captureData"]["endpointInput"] = {"data": "1,2", "encoding": "CSV"}
    monitored.capture([json.dumps(captured)], monitored.task().start, 1)
    outcome = monitored.execute()
    assert outcome.verdict is DriftVerdict.UNKNOWN
    assert outcome.reason == (
        "no captured row in this window can be used: 2 with broken line, 1 with rows of another length"
    )
    assert not (monitored.root / "reports").exists()


@pytest.mark.parametrize("below", ["reports", "../elsewhere"])
def test_a_report_that_cannot_be_written_fails_the_execution(monitored: Monitored, below: str) -> None:
    monitored.capture(monitored.rows(), monitored.task().start)
    if below == "reports":
        (monitored.root / "reports").write_text("a file, where a folder should be")
    outcome = monitored.execute(below=below)
    assert outcome.verdict is DriftVerdict.UNKNOWN and outcome.reason.startswith("report file:///")
    assert not (monitored.root.parent / "elsewhere").exists()
