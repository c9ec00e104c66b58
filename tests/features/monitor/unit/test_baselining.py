"""Baselines of data sets: their files, and what makes none."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tidegate.features.drift.baseline import read_baseline
from tidegate.features.drift.constraints import read_constraints
from tidegate.features.monitor.baselining import make_baseline
from tidegate.features.monitor.model_quality import ProblemType, QualityTerms
from tidegate.features.monitor.processing_records import (
    BaselineJob,
    BaselineOutcome,
    BaselineTask,
    DatasetFormat,
    StorageAccess,
)
from tidegate.features.monitor.thresholds import read_thresholds
from tidegate.rows.profile import TableProfile

CSV, JSON = DatasetFormat(), DatasetFormat(csv=False)
BINARY = QualityTerms(ProblemType.BINARY, "said", "p", None, "label")


class Place:
    """A folder with a data set, and below it the baseline."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, content: str | bytes) -> str:
        path = self.root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path.as_uri()

    def make(
        self, source: str, form: DatasetFormat = CSV, terms: QualityTerms | None = None, **more: Any
    ) -> BaselineOutcome:
        work = BaselineJob(source, form, (self.root / "out").as_uri(), quality=terms, **more)
        access = StorageAccess(file_roots=(str(self.root / "data"),), output_roots=(str(self.root / "out"),))
        return make_baseline(BaselineTask(work, access), random.Random(1))

    def read(self, name: str) -> Any:
        return json.loads((self.root / "out" / name).read_text())

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in (self.root / "out").glob("*"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def table(count: int = 60) -> str:
    draw = random.Random(1)
    rows = [f"{draw.gauss(5, 2):.3f},{draw.randrange(3)},{draw.choice(('US', 'DE'))}" for _ in range(count)]
    return "\n".join(["amount,children,country", *rows]) + "\n"


def labelled(count: int = 300) -> list[dict[str, Any]]:
    draw = random.Random(2)
    rows = []
    for _ in range(count):
        chance = draw.random()
        rows.append({"p": chance, "said": int(chance >= 0.5), "label": int(draw.random() < chance)})
    return rows


def test_a_table_becomes_a_baseline_that_executions_read(place: Place) -> None:
    assert place.make(place.write("train.csv", table()), drift_method="ChiSquared") == BaselineOutcome(60)
    assert place.files == ["constraints.json", "statistics.json"]
    found = read_baseline((place.root / "out" / "statistics.json").read_bytes(), None)  # type: ignore[arg-type]
    assert isinstance(found, TableProfile) and found.rows == 60
    assert [one.kind for one in found.columns.values()] == ["Fractional", "Integral", "String"]
    content = (place.root / "out" / "constraints.json").read_bytes()
    assert read_constraints(content, found.columns).limits["country"].domain == frozenset(("US", "DE"))
    distribution = place.read("constraints.json")["monitoring_config"]["distribution_constraints"]
    assert distribution["categorical_drift_method"] == "ChiSquared"


@pytest.mark.parametrize("form", [JSON, DatasetFormat(csv=False, lines=False)], ids=["lines", "list"])
def test_objects_of_json_are_rows(place: Place, form: DatasetFormat) -> None:
    rows = [{"amount": number, "note": None if number % 2 else "x"} for number in range(60)]
    text = "\n".join(json.dumps(row) for row in rows) if form.lines else json.dumps(rows)
    assert place.make(place.write("train.json", text), form).rows == 60
    amount, note = place.read("constraints.json")["features"]
    assert (amount["inferred_type"], note["completeness"]) == ("Integral", 0.5)


def test_a_folder_of_tables_is_one_and_columns_without_names_are_numbered(place: Place) -> None:
    for name in ("a.csv", "b.csv"):
        uri = place.write(name, "\n".join(f'{number},"a, b"' for number in range(30)))
    folder = uri.rpartition("/")[0]
    assert place.make(folder, DatasetFormat(header=False)).rows == 60
    assert [one["name"] for one in place.read("statistics.json")["features"]] == ["_c0", "_c1"]


def test_a_quoted_field_may_have_lines_and_bytes_may_be_marked(place: Place) -> None:
    rows = "".join(f'{number},"two\nlines, \u2028 and more"\r\n' for number in range(60))
    assert place.make(place.write("t.csv", b"\xef\xbb\xbf" + f"id,text\r\n{rows}".encode())).rows == 60
    assert [one["name"] for one in place.read("statistics.json")["features"]] == ["id", "text"]


def test_predictions_with_labels_become_a_baseline_of_thresholds(place: Place) -> None:
    text = "\n".join(json.dumps(row) for row in labelled())
    assert place.make(place.write("valid.jsonl", text), JSON, BINARY).rows == 300
    measured = place.read("statistics.json")["binary_classification_metrics"]
    assert 0.7 < measured["auc"]["value"] < 0.95 and 0 < measured["auc"]["standard_deviation"] < 0.05
    assert sum(sum(row.values()) for row in measured["confusion_matrix"].values()) == 300
    curve = measured["receiver_operating_characteristic_curve"]
    assert len(curve["false_positive_rates"]) == len(curve["true_positive_rates"]) > 10
    _, found = read_thresholds((place.root / "out" / "constraints.json").read_bytes(), ProblemType.BINARY)
    assert found["auc"].value < measured["auc"]["value"]


def test_columns_may_be_numbers_and_a_few_rows_have_no_deviation(place: Place) -> None:
    text = "\n".join(f"{row['label']},{row['p']}" for row in labelled(60))
    terms = QualityTerms(ProblemType.BINARY, "", "1", 0.5, "0")
    assert place.make(place.write("valid.csv", text), DatasetFormat(header=False), terms).rows == 60
    assert place.read("statistics.json")["binary_classification_metrics"]["f1"]["standard_deviation"] == "NaN"


@pytest.mark.parametrize("problem", [ProblemType.MULTICLASS, ProblemType.REGRESSION])
def test_the_other_kinds_of_problems_have_sections_of_their_own(place: Place, problem: ProblemType) -> None:
    draw = random.Random(1)
    names = ("a", "b", "c") if problem is ProblemType.MULTICLASS else (1.5, 7, 30)
    rows = [{"y": draw.choice(names), "said": draw.choice(names)} for _ in range(80)]
    uri = place.write("v.jsonl", "\n".join(json.dumps(row) for row in rows))
    assert place.make(uri, JSON, QualityTerms(problem, "said", label="y")).rows == 80
    section = "multiclass_classification" if problem is ProblemType.MULTICLASS else "regression"
    assert f"{section}_metrics" in place.read("statistics.json")
    assert set(place.read("constraints.json")) == {"version", f"{section}_constraints"}


BROKEN: list[tuple[str, str | bytes, str]] = [
    ("t.csv", "a,b\n1,2\n1,2,3\n", "line 3 has 3 fields, and there are 2 columns"),
    ("t.csv", "a,a\n1,2\n", "names a column twice: a"),
    ("t.csv", "a,\n1,2\n", "names no column, or not all"),
    ("t.csv", 'a,b\n1,"2\n', "unexpected end of data"),
    ("t.csv", b"a,b\n1,\xff\n", "it is no UTF-8"),
    ("t.csv", "a,b\n1,2\n", "it has 1 rows: a baseline needs 50"),
    ("t.csv", "", "it has 0 rows"),
    (
        "t.csv",
        ",".join(f"c{number}" for number in range(2_001)) + "\n" + "1," * 2_000 + "1\n",
        "more than 2,000 columns",
    ),
    ("t.jsonl", '{"a": 1}\n{"a": \n', "object 2 is no JSON"),
    ("t.jsonl", "[1, 2]\n", "object 1 is a list"),
    ("t.jsonl", "[" * 100_000, "object 1 is no JSON"),
]


@pytest.mark.parametrize(("name", "content", "said"), BROKEN, ids=[said for *_, said in BROKEN])
def test_a_broken_data_set_makes_no_baseline(place: Place, name: str, content: str | bytes, said: str) -> None:
    outcome = place.make(place.write(name, content), CSV if name.endswith("csv") else JSON)
    assert said in outcome.reason and place.files == []


def test_files_that_may_not_be_read_or_are_not_there_are_named(place: Place) -> None:
    (place.root / "secret.csv").write_text(table())
    (place.root / "data").mkdir()
    (place.root / "data" / "link.csv").symlink_to(place.root / "secret.csv")
    outside = "outside the folders that may be used"
    for source in ((place.root / "secret.csv").as_uri(), (place.root / "data").as_uri()):
        assert outside in place.make(source).reason
    assert "data set" in place.make((place.root / "data" / "none.csv").as_uri()).reason
    place.write("b.csv", "x,y\n")
    (place.root / "data" / "link.csv").unlink()
    (place.root / "data" / "a.csv").write_text(table())
    assert "its columns are not those of the files before it" in place.make((place.root / "data").as_uri()).reason
    work = BaselineJob((place.root / "data" / "a.csv").as_uri(), CSV, "file:///elsewhere/out")
    access = StorageAccess(file_roots=None, output_roots=(str(place.root),))
    assert "output file:///elsewhere/out" in make_baseline(BaselineTask(work, access), random.Random(1)).reason
    assert place.files == []


def rows_of(change: dict[str, Any], which: int = 5) -> str:
    rows = labelled(60)
    rows[which] = {**rows[which], **change}
    return "\n".join(json.dumps(row) for row in rows)


UNLABELLED: list[tuple[str, str]] = [
    (rows_of({"label": 2}), "1 of 60 rows cannot be used; the first is row 6: label that is neither 0 nor 1"),
    (rows_of({"label": None}), "row 6: label that cannot be read"),
    (rows_of({"p": 1.5}), "row 6: answer without the prediction"),
    (rows_of({"p": float("nan")}), "row 6: answer without the prediction"),
    ("\n".join(json.dumps({**row, "label": 1}) for row in labelled(60)), "a class is never seen"),
    (
        "\n".join(json.dumps({"p": 0.5, "label": 1}) for _ in range(60)),
        "row 1 has no column 'said': it has p, label",
    ),
    (rows_of({}).split("\n")[0], "it has 1 rows with a label and a prediction"),
]


@pytest.mark.parametrize(("content", "said"), UNLABELLED, ids=[said for _, said in UNLABELLED])
def test_predictions_that_cannot_be_measured_make_no_baseline(place: Place, content: str, said: str) -> None:
    outcome = place.make(place.write("v.jsonl", content), JSON, BINARY)
    assert said in outcome.reason and place.files == []


def test_amounts_that_are_taken_for_classes_are_refused(place: Place) -> None:
    rows = [{"y": number / 7, "said": 1} for number in range(1_500)]
    uri = place.write("v.jsonl", "\n".join(json.dumps(row) for row in rows))
    terms = QualityTerms(ProblemType.MULTICLASS, "said", label="y")
    assert "1,500 classes, at most 1,000" in place.make(uri, JSON, terms).reason


def test_a_line_of_very_many_names_costs_no_hour(place: Place) -> None:
    """Names were counted once for each name: 400,000 took hours, in which the job had one of two turns."""
    source = place.write("wide.csv", ",".join(f"c{number}" for number in range(150_000)) + ",c7\n1\n")
    assert "names a column twice: c7" in place.make(source).reason
