"""Executions that measure bias: groups, baselines, and what cannot be said."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.features.monitor.unit.test_quality import COMPLETED, FAILED, VIOLATED, Window, truth
from tidegate.domain.errors import Invalid
from tidegate.features.monitor.bias import draw_errors, measure_bias_of
from tidegate.features.monitor.bias_analysis import FacetComparison, check_baseline, make_analysis, read_baseline
from tidegate.features.monitor.bias_config import read_config
from tidegate.features.monitor.bias_metrics import LabelledPrediction, Measure, measure_bias
from tidegate.features.monitor.model_quality import ProblemType, QualityTerms
from tidegate.features.monitor.schedule_records import BiasSource, ExecutionOutcome

TERMS = QualityTerms(ProblemType.MULTICLASS, "", "score")
HEADERS = ["approved", "age", "country", "income"]
CONFIG: dict[str, Any] = {
    "label_values_or_threshold": [1],
    "facet": [{"name_or_index": "country", "value_or_threshold": ["DE"]}],
    "headers": HEADERS,
    "label": "approved",
}


class Biased(Window):
    """Requests of CSV rows, whose answers depend on the country by ``against``."""

    def fill(self, against: float, count: int = 600, seed: int = 1) -> None:
        draw = random.Random(seed)
        self.captured, self.labels = [], {}
        for number in range(count):
            country, age = draw.choice(("US", "DE", "IN")), draw.randrange(18, 80)
            label = int(draw.random() < 0.5)
            chance = 0.9 if label else 0.1
            said = draw.random() < (chance - against * 0.5 if country == "DE" else chance)
            self.ask(number, f"{age},{country},{draw.gauss(50, 9):.2f}", {"score": 0.8 if said else 0.2}, label)

    def ask(self, number: int, row: str, answer: Any, label: Any) -> None:
        sides = {
            "endpointInput": {"data": row, "encoding": "CSV"},
            "endpointOutput": {"data": json.dumps(answer), "encoding": "JSON"},
        }
        about = {"inferenceTime": "2026-03-04T11:10:00Z", "eventId": f"r{number}"}
        self.captured.append(json.dumps({"captureData": sides, "eventMetadata": about}))
        self.label(truth(f"r{number}", str(label)))

    def measure(self, config: Any = CONFIG, **changes: Any) -> ExecutionOutcome:
        (self.root / "analysis_config.json").write_text(json.dumps(config))
        source = BiasSource((self.root / "analysis_config.json").as_uri())
        task = self.task(TERMS, **{"bias": source, "constraints": "", **changes})
        return measure_bias_of(task, random.Random(1))

    def baseline(self) -> str:
        """What was measured last, as a baseline."""
        path = self.root / "baseline.json"
        path.write_text(json.dumps(self.report("analysis.json")))
        return path.as_uri()


@pytest.fixture
def biased(tmp_path: Path) -> Biased:
    return Biased(tmp_path)


def values(biased: Biased, section: str = "post_training_bias_metrics", facet: str = "country") -> dict[str, Any]:
    [one] = biased.report("analysis.json")[section]["facets"][facet]
    return {"of": one["value_or_threshold"], **{each["name"]: each["value"] for each in one["metrics"]}}


def test_bias_is_measured_of_labels_and_of_predictions(biased: Biased) -> None:
    biased.fill(against=0.8)
    outcome = biased.measure()
    assert outcome.status is COMPLETED and "there is no baseline, so nothing was checked" in outcome.remark
    found = values(biased)
    assert found["of"] == "DE" and found["DPPL"] > 0.15 and found["DI"] < 0.75 and found["RD"] > 0.2
    assert abs(values(biased, "pre_training_bias_metrics")["DPL"]) < 0.15
    document = biased.report("analysis.json")["post_training_bias_metrics"]
    assert (document["label"], document["label_value_or_threshold"]) == ("approved", "1")
    metric = next(one for one in outcome.faceted if one.name == "bias_metric_DPPL")
    assert metric.value == found["DPPL"] and metric.dimensions == {
        "BiasStage": "Post-Training",
        "Label": "approved",
        "LabelValue": "1",
        "Facet": "country",
        "FacetValue": "DE",
    }


def test_more_bias_than_in_the_baseline_violates_it_and_as_much_does_not(biased: Biased) -> None:
    biased.fill(against=0)
    biased.measure()
    baseline = biased.baseline()
    biased.fill(against=0, seed=2)
    document = json.loads((biased.root / "baseline.json").read_text())
    [country] = document["post_training_bias_metrics"]["facets"]["country"]
    country["metrics"].append({"name": "FT", "value": 0.1})
    (biased.root / "baseline.json").write_text(json.dumps(document))
    outcome = biased.measure(constraints=baseline)
    assert outcome.status is COMPLETED and outcome.remark.endswith("and not measured here: FT")
    biased.fill(against=0.8, seed=3)
    outcome = biased.measure(constraints=baseline)
    assert outcome.status is VIOLATED
    found = biased.report("constraint_violations.json")["violations"]
    assert {"DPPL", "DI", "RD"} <= {one["metric_name"] for one in found} and outcome.violations == len(found)
    assert {(one["facet"], one["facet_value"], one["constraint_check_type"]) for one in found} == {
        ("country", "DE", "bias_drift_check")
    }
    biased.measure()
    worse = biased.baseline()
    biased.fill(against=0, seed=4)
    assert biased.measure(constraints=worse).status is COMPLETED  # less bias is no violation


def test_windows_with_as_much_bias_as_the_baseline_violate_next_to_nothing() -> None:
    def compared(seed: int) -> FacetComparison:
        draw, cases = random.Random(seed), list[LabelledPrediction]()
        for _ in range(300):
            facet, label = draw.random() < 0.4, draw.random() < 0.5
            cases.append(LabelledPrediction(facet, label, draw.random() < (0.85 if label else 0.15) - 0.1 * facet))
        return FacetComparison("country", "DE", measure_bias(cases), draw_errors(cases, random.Random(1)))

    violated = 0
    for seed in range(25):
        baseline = read_baseline(json.dumps(make_analysis("label", "1", [compared(1_000 + seed)])).encode())
        violated += bool(check_baseline(baseline, [compared(seed)]).violations)
    assert violated <= 1


def test_a_number_is_a_threshold_of_what_is_measured_and_a_category_of_a_few(biased: Biased) -> None:
    biased.fill(against=0)
    config = {**CONFIG, "facet": [{"name_or_index": 1, "value_or_threshold": [40]}], "group_variable": "country"}
    biased.measure(config)
    found = values(biased, facet="age")
    assert found["of"].startswith("(40, 7") and found["CDDPL"] is not None
    baseline = biased.baseline()
    biased.fill(against=0, seed=2)
    biased.ask(1_000, "97,US,50", {"score": 0.8}, 1)  # the interval of this window is another
    assert biased.measure(config, constraints=baseline).status is COMPLETED


def test_each_value_of_a_facet_without_values_is_compared(biased: Biased) -> None:
    biased.fill(against=0)
    biased.measure({**CONFIG, "facet": {"name_or_index": "country"}})
    groups = biased.report("analysis.json")["post_training_bias_metrics"]["facets"]["country"]
    assert [one["value_or_threshold"] for one in groups] == ["DE", "IN", "US"]
    outcome = biased.measure({**CONFIG, "facet": [{"name_or_index": "age"}]})
    assert outcome.status is FAILED and "facet age has 62 values" in outcome.reason


def test_requests_of_objects_need_no_headers(biased: Biased) -> None:
    biased.fill(against=0)
    config = {name: value for name, value in CONFIG.items() if name != "headers"}
    outcome = biased.measure(config)
    assert outcome.status is FAILED and "600 with request without the columns" in outcome.reason
    for place in ("", "instances[0].features"):
        lines = []
        for line in biased.captured:
            made = json.loads(line)
            cells = made["captureData"]["endpointInput"]["data"].split(",")
            if len(cells) == 3:
                row: Any = dict(zip(HEADERS[1:], cells, strict=True))
                row = {"instances": [{"features": row}]} if place else row
                made["captureData"]["endpointInput"] = {"data": json.dumps(row), "encoding": "JSON"}
            lines.append(json.dumps(made))
        before, biased.captured = biased.captured, lines
        source = BiasSource((biased.root / "analysis_config.json").as_uri(), place)
        assert biased.measure(config, bias=source).status is COMPLETED
        biased.captured = before


def test_where_nothing_can_be_said_the_execution_fails(biased: Biased) -> None:
    biased.fill(against=0)
    biased.measure()
    baseline = biased.baseline()
    for path in (biased.root / "reports").iterdir():
        path.unlink()
    other = {**CONFIG, "facet": [{"name_or_index": "country", "value_or_threshold": ["FR"]}]}
    india = {**CONFIG, "facet": [{"name_or_index": "country", "value_or_threshold": ["IN"]}]}
    (biased.root / "broken.json").write_text('{"post_training_bias_metrics": {"facets": []}}')
    broken = (biased.root / "broken.json").as_uri()
    for outcome, said in (
        (biased.measure(other), "facet country FR: no request is of it, or all are"),
        (biased.measure(india, constraints=baseline), "AD of country DE"),
        (biased.measure(constraints=broken), "is no analysis.json of bias"),
        (biased.measure({**CONFIG, "predictor": {}}), "analysis configuration file://"),
        (biased.measure(addresses=()), "no data capture"),
    ):
        assert outcome.status is FAILED and said in outcome.reason, outcome
    assert biased.files == []
    biased.fill(against=0, count=40)
    assert "40 labelled predictions, at least 50" in biased.measure().reason


BAD: list[tuple[Any, str]] = [
    ([], "it is no object"),
    ({**CONFIG, "predictor": {}}, "predictor is not supported"),
    ({**CONFIG, "headers": "a,b"}, "headers is no list"),
    ({**CONFIG, "facet": []}, "facet is no list of objects"),
    ({**CONFIG, "facet": [{"name_or_index": "sex"}]}, "'sex', which is not among the headers"),
    ({**CONFIG, "facet": [{"name_or_index": 9}]}, "name_or_index is 9, and there are 4 headers"),
    ({**CONFIG, "facet": [{"name_or_index": None}]}, "name_or_index is None"),
    ({**CONFIG, "facet": [{"name_or_index": "age"}] * 21}, "there are 21 facets"),
    ({**CONFIG, "label_values_or_threshold": []}, r"label_values_or_threshold is \[\]"),
    ({**CONFIG, "label_values_or_threshold": [None]}, "give a list of values"),
    ({**CONFIG, "group_variable": "region"}, "group_variable is 'region'"),
    ({**CONFIG, "label_values_or_threshold": [float("nan")]}, r"label_values_or_threshold is \[nan\]"),
    ({**CONFIG, "label_values_or_threshold": [10**400]}, "label_values_or_threshold is"),
    (
        {**CONFIG, "facet": [{"name_or_index": "age", "value_or_threshold": [float("inf")]}]},
        "value_or_threshold is",
    ),
]


@pytest.mark.parametrize(("document", "said"), BAD, ids=[said for _, said in BAD])
def test_a_configuration_that_cannot_be_is_refused(document: Any, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read_config(json.dumps(document).encode())


def test_a_configuration_that_is_no_json_is_refused() -> None:
    with pytest.raises(Invalid, match="it is no JSON"):
        read_config(b"facet: [")


def test_outcomes_of_which_none_is_good_are_no_proof_of_fairness(biased: Biased) -> None:
    """A word that no label has made every difference 0, which was within any baseline."""
    biased.fill(against=0.8)
    biased.measure()
    baseline = biased.baseline()
    for wanted in (["approved"], [7]):
        outcome = biased.measure({**CONFIG, "label_values_or_threshold": wanted}, constraints=baseline)
        assert outcome.status is FAILED and "no label and no prediction is" in outcome.reason, outcome


def test_categories_that_begin_like_intervals_are_told_apart() -> None:
    names = ("(US, east", "(US, west", "(40, 93]")
    baseline = {("pre_training_bias_metrics", "place", name, "CI"): 0.1 for name in names}
    measured = {"pre_training_bias_metrics": {"CI": Measure(0.1, 500)}}
    wrong = {"pre_training_bias_metrics": {"CI": Measure(0.9, 500)}}
    errors = {"pre_training_bias_metrics": {"CI": 0.01}}
    compared = [
        FacetComparison("place", name, found, errors)
        for name, found in (("(US, east", wrong), ("(US, west", measured), ("(40, 88]", measured))
    ]
    checked = check_baseline(baseline, compared)
    assert [one["facet_value"] for one in checked.violations] == ["(US, east"] and not checked.unsaid
