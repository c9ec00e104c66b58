"""The evidence section of a spec."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tidegate import spec
from tidegate.domain.assurance import Assurance, AssuranceUnit, Harm, PredictionHarm
from tidegate.domain.errors import Invalid
from tidegate.domain.evidence import (
    Comparison,
    EvidenceAction,
    EvidenceConfig,
    FeatureTolerance,
    Judging,
    NoDataAction,
    PairedTolerance,
    RisingAction,
)
from tidegate.domain.registry import SecretReference
from tidegate.spec.render import render

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def parsed(evidence: dict[str, Any] | None, strategy: str = "canary", **more: object) -> EvidenceConfig | None:
    sizes = {"canary": {"size": "10%"}, "linear": {"step": "10%"}, "rolling": {"batch": "10%"}, "all_at_once": {}}
    data = {
        "endpoint": "fraud",
        "model": {"image": "tidegate/xgboost", "data": "file:///m"},
        "instances": 10,
        "rollout": {"strategy": strategy, **sizes[strategy]},
        **({} if evidence is None else {"evidence": evidence}),
        **more,
    }
    desired = spec.parse(data, NOW)
    assert spec.parse(render(desired), NOW).deployment == desired.deployment, "rendered and read again"
    return desired.deployment.evidence


def test_without_the_section_nothing_is_decided_and_an_empty_one_has_the_defaults() -> None:
    assert parsed(None) is None
    assert parsed({}) == EvidenceConfig()


def test_every_key_has_its_meaning() -> None:
    assert parsed(
        {
            "compare": ["predictions", "errors"],
            "tolerance": {"errors": "0.2%", "predictions": "7.5%"},
            "false_rollback_rate": "0.5%",
            "action": "gate",
            "minimum": 500,
            "deadline": "90s",
            "on_no_data": "advance",
            "on_rising": "advance",
        }
    ) == EvidenceConfig(
        compare=(Comparison.ERRORS, Comparison.PREDICTIONS),
        errors=0.002,
        predictions=0.075,
        false_rollback_rate=0.005,
        action=EvidenceAction.GATE,
        minimum=500,
        deadline=90,
        on_no_data=NoDataAction.ADVANCE,
        on_rising=RisingAction.ADVANCE,
    )


def test_every_key_of_pairs_has_its_meaning() -> None:
    assert parsed(
        {
            "compare": ["paired", "errors"],
            "slices": ["country", 3],
            "copies": "30s",
            "tolerance": {
                "paired": {
                    **{"distance": 0.1, "bias": 0.2, "moved": "5%", "top": "30%"},
                    **{"top_bias": 0.5, "order": "12%", "slice": 1, "failed": "0.5%"},
                }
            },
        }
    ) == EvidenceConfig(
        compare=(Comparison.ERRORS, Comparison.PAIRED),
        slices=("country", "3"),
        copies=30,
        paired=PairedTolerance(0.1, 0.2, 0.05, 0.3, 0.5, 0.12, 1.0, 0.005),
    )
    features = {"rows": "2%", "scale": "10%", "shift": 0.5}
    assert parsed(
        {"compare": ["features"], "copies": "0s", "tolerance": {"features": features}, "on_features": "rollback"}
    ) == EvidenceConfig(
        compare=(Comparison.FEATURES,),
        copies=0,
        features=FeatureTolerance(0.02, 0.1, 0.5),
        on_features=EvidenceAction.ROLLBACK,
    )


def test_every_key_of_a_judge_has_its_meaning() -> None:
    url, headers = "https://judge.example.com/v2", {"Authorization": {"secret": "judge"}}
    assert parsed(
        {
            "compare": ["judge"],
            "judge": {
                "url": url,
                "model": "m",
                "headers": headers,
                "asks": 350,
                "rubric": "Which is more polite?",
                "labels": 80,
            },
            "tolerance": {"judge": "5%"},
        }
    ) == EvidenceConfig(
        compare=(Comparison.JUDGE,),
        judge=0.05,
        judging=Judging(url, "m", {"Authorization": SecretReference("judge")}, 350, "Which is more polite?", 80),
    )


JUDGE = {"url": "https://judge.example.com", "model": "m"}


@pytest.mark.parametrize("strategy", ["canary", "linear", "rolling"])
def test_it_goes_with_every_strategy_that_shifts_in_steps(strategy: str) -> None:
    assert parsed({"minimum": 20}, strategy) == EvidenceConfig(minimum=20)


@pytest.mark.parametrize(
    ("evidence", "says"),
    [
        (
            {"compare": []},
            "evidence.compare: compare at least one of errors, latency, predictions, paired, features, text",
        ),
        ({"compare": ["eror"]}, "evidence.compare[0]: 'eror' cannot be compared, did you mean 'errors'?"),
        ({"compare": ["errors", "errors"]}, "evidence.compare[1]: 'errors' is given twice"),
        ({"tolerance": {"predictions": "1%"}}, "evidence.tolerance.predictions: nothing compares predictions"),
        ({"tolerance": {"errors": "60%"}}, "evidence.tolerance.errors: 60%: must be at most 50%"),
        ({"tolerance": {"latency": "slow"}}, "evidence.tolerance.latency: 'slow': expected a share such as 20%"),
        ({"false_rollback_rate": "0%"}, "evidence.false_rollback_rate: 0%: must be above 0% and at most 20%"),
        ({"false_rollback_rate": "21%"}, "must be above 0% and at most 20%"),
        ({"replay": {"rows": "rows.csv", "label": "y"}}, "evidence.replay.rows: 'rows.csv': expected an address"),
        ({"replay": {"rows": "s3://r/1"}}, "evidence.replay: give either 'label'"),
        (
            {"replay": {"rows": "s3://r/1", "label": "y", "labels": "s3://l/1"}},
            "evidence.replay: give either 'label'",
        ),
        ({"replay": {"rows": "s3://r/1", "labels": "l"}}, "evidence.replay.labels: 'l': expected an address"),
        (
            {"replay": {"rows": "s3://r/1", "label": ["y", "y"]}},
            "evidence.replay.label: ['y', 'y']: name one column, or up to 20 different ones",
        ),
        ({"replay": {"rows": "s3://r/1", "label": []}}, "evidence.replay.label: []: name one column"),
        (
            {"replay": {"rows": "s3://r/1", "label": ["y", ""]}},
            "evidence.replay.label: ['y', '']: name one column",
        ),
        (
            {"replay": {"rows": "s3://r/1", "label": ["y", "z"], "score": "a"}},
            "evidence.replay.score: several labels are those of the numbers of an answer",
        ),
        (
            {"replay": {"rows": "s3://r/1", "label": "y", "tolerance": {"auc": 2.0}}},
            "evidence.replay.tolerance.auc: 2.0: must be from 0 to 1",
        ),
        (
            {"replay": {"rows": "s3://r/1", "label": "y", "least_labels": 19}},
            "evidence.replay.least_labels: 19: must be 20 to 1000000",
        ),
        (
            {"replay": {"rows": "s3://r", "labels": "s3://l", "leave_out": ["id"]}},
            "evidence.replay.leave_out: captured requests are sent as they were",
        ),
        ({"action": "roll"}, "evidence.action: unknown action 'roll'"),
        ({"minimum": 0}, "evidence.minimum: 0: must be 1 to 1000000"),
        ({"deadline": "5"}, "evidence.deadline: '5': add a unit, such as 5s"),
        ({"on_rising": "wait"}, "evidence.on_rising: unknown on_rising 'wait'"),
        ({"on_no_data": "pass"}, "evidence.on_no_data: unknown on_no_data 'pass'"),
        ({"copies": "1m"}, "evidence.copies: nothing compares copies"),
        ({"slices": ["country"]}, "evidence.slices: only paired compares slices"),
        ({"compare": ["paired"], "slices": ["a"] * 2}, "evidence.slices[1]: 'a' is given twice"),
        ({"compare": ["paired"], "slices": list("abcde")}, "evidence.slices: 5 columns: at most 4"),
        (
            {"compare": ["paired"], "slices": [""]},
            "evidence.slices[0]: must be the name or the number of a column",
        ),
        ({"tolerance": {"paired": {}}}, "evidence.tolerance.paired: nothing compares paired"),
        ({"on_features": "rollback"}, "evidence.on_features: nothing compares features"),
        ({"compare": ["features"], "on_features": "report"}, "evidence.on_features"),
        ({"tolerance": {"features": {}}}, "evidence.tolerance.features: nothing compares features"),
        (
            {"compare": ["paired"], "tolerance": {"paired": {"bias": 0}}},
            "evidence.tolerance.paired.bias: 0: must be above 0 and at most 2.5",
        ),
        (
            {"compare": ["paired"], "tolerance": {"paired": {"moved": "0%"}}},
            "evidence.tolerance.paired.moved: 0%: must be above 0% and at most 90%",
        ),
        (
            {"compare": ["features"], "tolerance": {"features": {"shift": -1}}},
            "evidence.tolerance.features.shift: -1: must be 0 to 2.5",
        ),
        ({"compare": ["judge"]}, "evidence.judge: is missing: compare: [judge] needs the url"),
        ({"judge": JUDGE}, "evidence.judge: nothing compares by a judge"),
        ({"compare": ["judge"], "judge": {**JUDGE, "asks": 99}}, "evidence.judge.asks: 99: must be 100"),
        ({"compare": ["judge"], "judge": {**JUDGE, "labels": 74}}, "evidence.judge.labels: 74: must be 0, or 75"),
        ({"compare": ["judge"], "judge": {**JUDGE, "labels": 101}}, "each label takes 4 questions (asks: 400)"),
        ({"compare": ["judge"], "judge": {**JUDGE, "asks": 9_999, "labels": 501}}, "0, or 75 to 500"),
        ({"compare": ["judge"], "judge": {**JUDGE, "model": ""}}, "evidence.judge.model: is empty"),
        ({"compare": ["judge"], "judge": {**JUDGE, "rubric": ""}}, "evidence.judge.rubric: must have 1 to 2000"),
        ({"compare": ["judge"], "judge": {**JUDGE, "url": "ftp://x"}}, "evidence.judge.url: 'ftp://x': expected"),
        ({"compare": ["judge"], "judge": {**JUDGE, "url": "http://x?y=1"}}, "evidence.judge.url: 'http://x?y=1'"),
        (
            {"compare": ["judge"], "judge": {**JUDGE, "headers": {"Host": "x"}}},
            "evidence.judge.headers.Host: is not",
        ),
        ({"tolerance": {"judge": "5%"}}, "evidence.tolerance.judge: nothing compares judge"),
        ({"tolerance": {"text": {}}}, "evidence.tolerance.text: nothing compares text"),
        (
            {"compare": ["text"], "tolerance": {"text": {"length": "51%"}}},
            "evidence.tolerance.text.length: 51%: must be at most 50%",
        ),
        (
            {"compare": ["text"], "tolerance": {"text": {"speed": "fast"}}},
            "evidence.tolerance.text.speed: 'fast': expected a share",
        ),
        ({"actoin": "gate"}, "evidence: unknown key 'actoin', did you mean 'action'?"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(evidence: dict[str, Any], says: str) -> None:
    with pytest.raises(Invalid) as caught:
        parsed(evidence)
    assert says in str(caught.value)


@pytest.mark.parametrize("detect", [None, ["email", "text"]])
def test_a_judge_is_refused_where_redaction_drops_every_sentence(detect: list[str] | None) -> None:
    judged = {"compare": ["judge"], "judge": JUDGE}
    with pytest.raises(Invalid, match="would be shown no sentence"):
        parsed(judged, capture={"to": "s3://b/captures", "redact": {} if detect is None else {"detect": detect}})
    assert parsed(judged, capture={"to": "s3://b/captures", "redact": {"detect": ["email"]}}) is not None
    assert parsed(judged, capture={"to": "s3://b/captures"}) is not None


def test_nothing_is_compared_where_all_traffic_moves_at_once() -> None:
    with pytest.raises(Invalid, match="use canary, linear or rolling"):
        parsed({}, "all_at_once")


@pytest.mark.parametrize("key", ["deadline", "copies"])
@pytest.mark.parametrize("text", ["999999999h", "9" * 400 + "d"])
def test_a_time_whose_end_is_no_date_is_refused(key: str, text: str) -> None:
    """Computed in each step of the rollout, it would stop all of them."""
    with pytest.raises(Invalid, match="must be at most 36500d"):
        parsed({"compare": ["paired"], key: text})
    assert parsed({"compare": ["paired"], key: "36500d"}) is not None


REPLAYED = {"rows": "s3://rows/q3.csv", "label": "fraud"}
ERRORS = {"harm": {"errors": "0.5%"}, "before": "25%"}


def test_an_assurance_names_harm_in_the_units_of_the_user() -> None:
    found = parsed(
        {
            "compare": ["errors", "latency", "paired"],
            "replay": REPLAYED,
            "assure": {
                "harm": {
                    "errors": "0.5%",
                    "latency": "50%",
                    "predictions": {"bias": 93, "moved": "10%"},
                    "auc": 0.02,
                    "recall": "1%",
                    "mean_error": "5%",
                },
                "before": "12.5%",
                "missed": "2%",
                "exposure": 5000,
                "unit": "second",
            },
        }
    )
    assert found is not None
    harm = Harm(0.005, 0.5, PredictionHarm(bias=93.0, moved=0.1), 0.02, 0.01, 0.05)
    assert found.assure == Assurance(harm, 1250, 0.02, 5000, AssuranceUnit.SECOND)
    assert found.replay is not None and found.replay.recall, "the replay counts what the assurance asks for"
    plain = parsed({"assure": ERRORS})
    assert plain is not None and plain.assure == Assurance(Harm(errors=0.005), 2500)


@pytest.mark.parametrize(
    ("evidence", "says"),
    [
        ({"assure": {"harm": {}, "before": "25%"}}, "name what would do harm"),
        ({"assure": {**ERRORS, "before": "0%"}}, "above 0% and below 100%"),
        ({"assure": {**ERRORS, "before": "100%"}}, "above 0% and below 100%"),
        ({"assure": {**ERRORS, "missed": "20%"}}, "at most 10%"),
        ({"assure": {**ERRORS, "exposure": 0}}, "must be 1 or more"),
        ({"assure": {**ERRORS, "exposure": 500}}, "takes about 2,096 requests even if none of them fails"),
        ({"assure": {**ERRORS, "unit": "minute"}}, "minute"),
        ({"assure": ERRORS, "on_no_data": "advance"}, "use rollback or gate"),
        ({"assure": {"harm": {"errors": "60%"}, "before": "25%"}}, "at most 50%"),
        ({"assure": {"harm": {"auc": 0.7}, "before": "25%"}, "replay": REPLAYED}, "below 0.5"),
        ({"assure": {"harm": {"auc": 0.02}, "before": "25%"}}, "add replay to evidence"),
        ({"assure": {"harm": {"predictions": {"bias": 93}}, "before": "25%"}}, "add paired to compare"),
        ({"compare": ["errors"], "assure": {"harm": {"latency": "50%"}, "before": "25%"}}, "add it to compare"),
        (
            {"compare": ["latency"], "assure": {"harm": {"latency": "50%"}, "before": "25%"}},
            "add errors to compare",
        ),
    ],
)
def test_an_assurance_that_nothing_could_give_is_refused_with_what_to_add(
    evidence: dict[str, Any], says: str
) -> None:
    with pytest.raises(Invalid, match=says) as refused:
        parsed(evidence)
    assert "\n" not in str(refused.value)
