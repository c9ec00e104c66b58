"""Executions that compare predictions with labels: what is joined, what is found, and what cannot be said."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tidegate.features.monitor.measures import MEASURE, sizes, standard_errors
from tidegate.features.monitor.model_quality import ProblemType, QualityTerms
from tidegate.features.monitor.processing_records import StorageAccess
from tidegate.features.monitor.quality import measure_quality
from tidegate.features.monitor.schedule_records import ExecutionOutcome, ExecutionStatus, LabelledTask, LabelSource
from tidegate.features.monitor.thresholds import suggest_constraints
from tidegate.rows.capture_paths import file_name, layout

START = datetime(2026, 3, 4, 11, 0, tzinfo=UTC)
END = START + timedelta(hours=1)
UNTIL = END + timedelta(days=2)
TERMS = QualityTerms(ProblemType.BINARY, "", "score")
FILES = ["constraint_violations.json", "constraints.json", "statistics.json"]
FAILED, COMPLETED = ExecutionStatus.FAILED, ExecutionStatus.COMPLETED
VIOLATED = ExecutionStatus.COMPLETED_WITH_VIOLATIONS


def capture(id: str, answer: Any, at: datetime = START, encoding: str = "JSON", **about: Any) -> str:
    data = answer if encoding == "CSV" else json.dumps(answer)
    sides = {"endpointOutput": {"data": data, "encoding": encoding}}
    moment = {"inferenceTime": at.isoformat(), "eventId": f"event-{id}", "inferenceId": id, **about}
    return json.dumps({"captureData": sides, "eventMetadata": moment, "eventVersion": "0"})


def truth(id: str, data: Any, encoding: str = "CSV", **about: Any) -> str:
    made = {"groundTruthData": {"data": data, "encoding": encoding}, "eventMetadata": {"eventId": id, **about}}
    return json.dumps({**made, "eventVersion": "0"})


class Window:
    """A folder of captures, ground truth, a baseline and reports."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.captured: list[str] = []
        self.labels: dict[datetime, list[str]] = {}

    def pair(self, number: int, score: float, label: Any, at: datetime = START) -> None:
        """A request, and its label in the hour after it."""
        moment = at + timedelta(seconds=number % 3_000)
        self.captured.append(capture(f"r{number}", {"score": score}, moment))
        self.label(truth(f"r{number}", str(label)))

    def label(self, line: str, hour: datetime = END) -> None:
        self.labels.setdefault(hour, []).append(line)

    def task(self, terms: QualityTerms = TERMS, **changes: Any) -> LabelledTask:
        below = layout(file_name(START.timestamp(), "00000000-0000-0000-0000-000000000000"))
        assert below is not None
        self._write(self.root / "captures" / below, self.captured)
        for hour, lines in self.labels.items():
            self._write(self.root / "truth" / f"{hour:%Y/%m/%d/%H}" / "labels.jsonl", lines)
        return replace(
            LabelledTask(
                LabelSource((self.root / "truth").as_uri()),
                terms,
                ((self.root / "captures").as_uri(),),
                START,
                END,
                UNTIL,
                60,
                (self.root / "reports").as_uri(),
                (self.root / "constraints.json").as_uri(),
                "",
                StorageAccess(file_roots=(str(self.root),), output_roots=(str(self.root),)),
            ),
            **changes,
        )

    def _write(self, path: Path, lines: list[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")

    def execute(self, terms: QualityTerms = TERMS, **changes: Any) -> ExecutionOutcome:
        return measure_quality(self.task(terms, **changes), random.Random(1))

    def report(self, name: str) -> Any:
        return json.loads((self.root / "reports" / name).read_text())

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in (self.root / "reports").glob("*"))


def scores(count: int, wrong: float, seed: int = 1) -> list[tuple[float, int]]:
    """Scores with the labels of a model that is wrong so often."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        score = draw.random()
        likely = int(score >= 0.5)
        made.append((score, 1 - likely if draw.random() < wrong else likely))
    return made


def baseline(window: Window, wrong: float = 0.1) -> None:
    pairs = [(label, int(score >= 0.5), score) for score, label in scores(1_000, wrong, 99)]
    errors = standard_errors(ProblemType.BINARY, pairs, random.Random(1))
    measured, counts = MEASURE[ProblemType.BINARY](pairs), sizes(ProblemType.BINARY, pairs)
    document = suggest_constraints(ProblemType.BINARY, measured, errors, counts)
    (window.root / "constraints.json").write_text(json.dumps(document))


@pytest.fixture
def window(tmp_path: Path) -> Window:
    made = Window(tmp_path)
    baseline(made)
    return made


def fill(window: Window, count: int = 300, wrong: float = 0.1) -> None:
    for number, (score, label) in enumerate(scores(count, wrong)):
        window.pair(number, score, label)


def test_a_model_that_is_as_good_as_its_baseline_violates_nothing(window: Window) -> None:
    fill(window)
    outcome = window.execute()
    assert (outcome.status, outcome.violations) == (COMPLETED, 0), outcome
    assert outcome.remark.startswith("300 of 300 captured requests have a label")
    assert outcome.metrics["accuracy"] == pytest.approx(0.9, abs=0.05) and 0 < outcome.metrics["auc"] < 1
    assert window.files == FILES
    found = window.report("statistics.json")
    assert found["dataset"] == {
        "item_count": 300,
        "start_time": "2026-03-04T11:00:00+00:00",
        "end_time": "2026-03-04T12:00:00+00:00",
        "captured_count": 300,
        "labelled_count": 300,
        "unused": {},
    }
    assert found["binary_classification_metrics"]["accuracy"]["value"] == outcome.metrics["accuracy"]
    assert window.report("constraints.json") == json.loads((window.root / "constraints.json").read_text())
    assert window.report("constraint_violations.json") == {"violations": []}


def test_a_worse_model_violates_thresholds(window: Window) -> None:
    fill(window, wrong=0.4)
    outcome = window.execute()
    found = window.report("constraint_violations.json")["violations"]
    assert outcome.status is VIOLATED and outcome.violations == len(found)
    assert {"accuracy", "auc", "f1"} <= {one["metric_name"] for one in found}


def test_labels_are_joined_by_event_id_too_however_late(window: Window) -> None:
    for number, (score, label) in enumerate(scores(100, 0.1)):
        window.captured.append(capture(f"r{number}", {"score": score}))
        id = f"event-r{number}" if number % 2 else f"r{number}"
        window.label(truth(id, label, "JSON"), UNTIL if number % 3 else START)
    outcome = window.execute()
    assert outcome.status is COMPLETED and "100 of 100" in outcome.remark


def test_a_baseline_may_be_missing_and_then_nothing_is_checked(window: Window) -> None:
    fill(window, wrong=0.4)
    outcome = window.execute(constraints="")
    assert outcome.status is COMPLETED and "there is no baseline, so nothing was checked" in outcome.remark
    assert window.files == ["constraint_violations.json", "statistics.json"]


def test_what_chance_explains_is_said_and_no_violation(window: Window) -> None:
    fill(window)
    value = window.execute(constraints="").metrics["accuracy"]
    close = {"accuracy": {"threshold": value + 0.005, "comparison_operator": "LessThanThreshold"}}
    document = {"binary_classification_constraints": close}
    (window.root / "constraints.json").write_text(json.dumps(document))
    outcome = window.execute()
    assert outcome.status is COMPLETED
    assert "beyond their thresholds by no more than chance explains: accuracy" in outcome.remark


def test_a_request_of_several_rows_has_as_many_labels(window: Window) -> None:
    pairs = scores(120, 0.1)
    for start in range(0, 120, 3):
        three = pairs[start : start + 3]
        answer = {"predictions": [{"score": score} for score, _ in three]}
        window.captured.append(capture(f"r{start}", answer))
        window.label(truth(f"r{start}", "\n".join(str(label) for _, label in three)))
    window.captured.append(capture("r999", {"predictions": [{"score": 0.5}] * 3}))
    window.label(truth("r999", [1, 0], "JSON"))
    outcome = window.execute()
    assert outcome.status is COMPLETED, outcome
    assert "1 with more or fewer labels than answers" in outcome.remark
    assert window.report("statistics.json")["dataset"]["item_count"] == 120


def test_columns_of_csv_and_the_predicted_label_are_read(window: Window) -> None:
    for number, (score, label) in enumerate(scores(100, 0.1)):
        window.captured.append(capture(f"r{number}", f"{int(score >= 0.7)},{score}", encoding="CSV"))
        window.label(truth(f"r{number}", label))
    terms = QualityTerms(ProblemType.BINARY, "0", "1")
    matrix = dict(window.execute(terms, constraints="").metrics)
    said = sum(score >= 0.7 for score, _ in scores(100, 0.1))
    found = window.report("statistics.json")["binary_classification_metrics"]["confusion_matrix"]
    assert found["0"]["1"] + found["1"]["1"] == said and matrix["auc"] > 0.7


def test_several_classes_and_amounts(window: Window) -> None:
    draw = random.Random(1)
    for number in range(100):
        kind = draw.choice(("cat", "dog", "3"))
        window.captured.append(capture(f"r{number}", {"label": kind if number % 10 else "dog"}))
        window.label(truth(f"r{number}", kind if kind != "3" else "3.0"))
    found = window.execute(QualityTerms(ProblemType.MULTICLASS, "label"), constraints="")
    assert found.metrics["accuracy"] > 0.9
    assert set(window.report("statistics.json")["multiclass_classification_metrics"]["confusion_matrix"]) == {
        "cat",
        "dog",
        "3",
    }


def test_the_most_probable_class_is_the_predicted_one(window: Window) -> None:
    for number in range(60):
        chances = [0.1, 0.2, 0.7] if number % 2 else [0.8, 0.1, 0.1]
        window.captured.append(capture(f"r{number}", {"p": chances}))
        window.label(truth(f"r{number}", "2" if number % 2 else "0"))
    found = window.execute(QualityTerms(ProblemType.MULTICLASS, "", "p"), constraints="")
    assert found.metrics["accuracy"] == 1


def test_amounts_are_measured(window: Window) -> None:
    for number in range(60):
        window.captured.append(capture(f"r{number}", [[number + 0.5]]))
        window.label(truth(f"r{number}", str(number)))
    found = window.execute(QualityTerms(ProblemType.REGRESSION), constraints="")
    assert (found.metrics["mae"], found.metrics["rmse"]) == (0.5, 0.5)


Break = Callable[[Window], Any]


def relabel(hour: datetime = END, **about: Any) -> Break:
    def work(window: Window) -> None:
        for number in range(120):
            window.label(truth(f"r{number}", "1", **about), hour)

    return work


def add_captures(*lines: str, times: int = 60) -> Break:
    return lambda window: window.captured.extend(line for line in lines for _ in range(times))


def late_answers(window: Window) -> None:
    """Labels whose hour ended long before their predictions."""
    window.captured = [capture(f"r{number}", {"score": 0.5}, END - timedelta(minutes=1)) for number in range(300)]
    window.labels = {START - timedelta(hours=1): [], START: []}
    for number in range(300):
        window.label(truth(f"r{number}", "1", labelTime=START.isoformat()), END)


def add_labels(*lines: str) -> Break:
    def work(window: Window) -> None:
        for line in lines:
            window.label(line)

    return work


def add_pairs(score: float, label: Any) -> Break:
    def work(window: Window) -> None:
        for number in range(1_000, 1_060):
            window.pair(number, score, label)

    return work


def answer_otherwise(window: Window) -> None:
    for number in range(60):
        window.captured.append(capture(f"n{number}", {"other": 1}))
        window.label(truth(f"n{number}", "1"))


UNUSABLE: list[tuple[str, Break, str]] = [
    ("contradictory labels", relabel(), "with labels that contradict each other"),
    ("labels before their predictions", late_answers, "300 with label before its prediction"),
    ("broken captures", add_captures("{broken", "[]", '{"eventMetadata": 5}'), "180 with broken line"),
    ("no id", add_captures(capture("", 1, eventId="")), "60 with no id"),
    ("no time", add_captures(capture("x", 1, inferenceTime="soon")), "60 with no time"),
    ("one id again and again", add_captures(capture("r1", 1)), "61 with id of several predictions"),
    ("an answer that is too long", add_captures(capture("x", "y" * 70_000)), "60 with answer that is too long"),
    ("broken labels", add_labels(*["{broken"] * 60), "60 with broken line"),
    ("a class that is none", add_pairs(0.5, "perhaps"), "60 with label that is neither 0 nor 1"),
    ("answers without the score", answer_otherwise, "60 with answer without the prediction"),
    ("scores that are no probabilities", add_pairs(1.5, 1), "60 with answer without the prediction"),
    (
        "labels that cannot be read",
        add_labels(*(truth(f"r{number}", {"a": 1}, "JSON") for number in range(60))),
        "60 with label that cannot be read",
    ),
]


@pytest.mark.parametrize(("break_it", "said"), [one[1:] for one in UNUSABLE], ids=[one[0] for one in UNUSABLE])
def test_too_much_that_cannot_be_used_fails_the_execution(window: Window, break_it: Break, said: str) -> None:
    fill(window)
    break_it(window)
    outcome = window.execute()
    assert outcome.status is FAILED and said in outcome.reason, outcome
    assert window.files == []


def test_a_little_that_cannot_be_used_is_counted(window: Window) -> None:
    fill(window)
    window.label("{broken")
    window.label(truth("of another hour", "1"))
    window.label(truth("r7", window.labels[END][7].split('"data": "')[1][0]))
    outcome = window.execute()
    assert outcome.status is COMPLETED
    assert window.report("statistics.json")["dataset"]["unused"] == {
        "broken line": 1,
        "label of an unknown id": 1,
        "label that was there already": 1,
    }


def nothing_captured(window: Window) -> None:
    window.captured = [capture("r1", 1, START - timedelta(hours=3))]


def one_class(window: Window) -> None:
    """Which the model never says either."""
    window.captured = [capture(f"r{number}", {"score": 0.1}) for number in range(300)]
    window.labels[END] = [truth(f"r{number}", "0") for number in range(300)]


def hardly_ever(window: Window) -> None:
    """The label 1 is there, 3 times, and the model misses it."""
    one_class(window)
    window.labels[END][:3] = [truth(f"r{number}", "1") for number in range(3)]


NOTHING: list[tuple[str, Break, dict[str, Any], str]] = [
    ("no capture", lambda window: None, {"addresses": ()}, "the endpoint has no data capture"),
    ("an empty window", nothing_captured, {}, "no captured request in this window"),
    ("no ground truth", lambda window: window.labels.clear(), {}, "no file in the folders of its hours"),
    (
        "too few labels",
        lambda window: window.labels[END].__delitem__(slice(49, None)),
        {},
        "49 labelled predictions",
    ),
    (
        "labels of other requests",
        lambda window: window.labels.update({END: [truth(f"x{number}", "1") for number in range(99)]}),
        {},
        "0 labelled predictions, at least 50 are needed: 0 of 300 captured requests have a label; not used: 99 with",
    ),
    ("a class that is never seen", one_class, {}, "auc, f0_5, f1, f2, false_negative_rate, precision, recall"),
    ("a class that is hardly ever seen", hardly_ever, {}, "a class is never or hardly ever seen"),
    ("no baseline", lambda window: (window.root / "constraints.json").unlink(), {}, "baseline file://"),
    (
        "a baseline of another kind",
        lambda window: (window.root / "constraints.json").write_text('{"regression_constraints": {}}'),
        {},
        "which has binary_classification_constraints",
    ),
    ("a baseline that may not be read", lambda window: None, {"constraints": "file:///etc/passwd"}, "outside"),
    ("labels that may not be read", lambda window: None, {"labels": LabelSource("file:///etc")}, "outside"),
    (
        "a report that may not be written",
        lambda window: None,
        {"output": "file:///elsewhere"},
        "report file:///else",
    ),
]


@pytest.mark.parametrize(
    ("break_it", "changes", "said"), [one[1:] for one in NOTHING], ids=[one[0] for one in NOTHING]
)
def test_where_nothing_can_be_said_the_execution_fails(
    window: Window, break_it: Break, changes: dict[str, Any], said: str
) -> None:
    fill(window)
    break_it(window)
    outcome = window.execute(**changes)
    assert outcome.status is FAILED and said in outcome.reason, outcome
    assert (window.files, outcome.metrics) == ([], {})


def test_labels_of_links_out_of_the_folder_are_not_read(window: Window, tmp_path_factory: Any) -> None:
    fill(window)
    task = window.task()
    outside = tmp_path_factory.mktemp("outside") / "labels.jsonl"
    outside.write_text("{}")
    (window.root / "truth" / f"{END:%Y/%m/%d/%H}" / "more.jsonl").symlink_to(outside)
    assert "outside the folders that may be used" in measure_quality(task, random.Random(1)).reason
