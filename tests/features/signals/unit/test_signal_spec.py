"""Alarms on signals in a spec file."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tidegate import spec
from tidegate.domain.alarm import Alarm, ComparisonOperator
from tidegate.domain.errors import Invalid
from tidegate.domain.registry import SecretReference
from tidegate.targets.sagemaker.alarm_calls import compile_alarms
from tidegate.targets.sagemaker.calls import Findings
from tidegate.targets.sagemaker.options import SagemakerOptions

NOW = datetime(2026, 3, 1, tzinfo=UTC)
QUERY = {"prometheus": "http://prometheus:9090", "query": "sum(rate(lost[1m]))", "above": "2%"}
DOCUMENT = {"http": "https://checkout/health.json?all=1", "value": "$.rate", "below": 10}


def alarm_of(given: dict[str, Any], key: str = "checkout") -> Alarm:
    model = {"image": "tidegate/xgboost", "data": "file:///m/model.tar.gz"}
    return spec.parse({"endpoint": "fraud", "model": model, "alarms": {key: given}}, NOW).alarms[0]


def test_a_signal_is_a_series_of_its_own_of_the_endpoint() -> None:
    alarm = alarm_of({**QUERY, "for": "1m"})
    assert (alarm.name, alarm.namespace, alarm.statistic) == ("fraud-checkout", "tidegate/Signals", "Average")
    assert alarm.dimensions["EndpointName"] == "fraud"
    assert (alarm.period, alarm.evaluation_periods, alarm.threshold) == (10, 6, 0.02)
    document = alarm_of(DOCUMENT)
    assert (document.comparison, document.threshold) == (ComparisonOperator.LESS, 10)
    assert document.signal is not None and document.signal.url == DOCUMENT["http"]


def test_another_definition_is_another_series_and_another_limit_is_not() -> None:
    def series(**changes: Any) -> str:
        return alarm_of({**QUERY, **changes}).dimensions["Signal"]

    assert series() == series(above=7) == series(period="30s")
    changed = [series(query="sum(lost)"), series(prometheus="http://other:9090"), series(headers={"X-Scope": "b"})]
    assert len({series(), *changed}) == 4


def test_headers_have_texts_and_names_of_secrets() -> None:
    alarm = alarm_of({**QUERY, "headers": {"X-Scope": "a", "Authorization": {"secret": "token"}}})
    assert alarm.signal is not None
    assert alarm.signal.headers == {"X-Scope": "a", "Authorization": SecretReference("token")}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"query": None}, "alarms.checkout: 'query' is missing: prometheus needs it"),
        ({"value": "$.rate"}, "alarms.checkout.value: does not go with prometheus"),
        ({"http": "http://x", "value": "$.a"}, "give either prometheus or http"),
        ({"metric": "ModelLatency"}, "alarms.checkout.metric: is a key of an alarm on a metric"),
        ({"namespace": "Own"}, "alarms.checkout.namespace: is a key of an alarm on a metric"),
        ({"for": "25s"}, r"alarms.checkout.for: '25s': must be a multiple of period \(10s\)"),
        ({"for": "1m", "periods": 2}, "give either for or periods"),
        ({"above": None}, "no limit"),
        ({"above": "100ms"}, "expected a number"),
        ({"prometheus": "ftp://x"}, "expected http://HOST"),
        ({"prometheus": "http://user:word@x"}, "without a password"),
        ({"prometheus": "http://x/?a=b"}, "expected http://HOST"),
        ({"prometheus": "http://x/a b"}, "expected http://HOST"),
        ({"headers": {"Host": "x"}}, "alarms.checkout.headers.Host: is not a header that can be set"),
        ({"prometheus": None}, "alarms.checkout.query: is a key of an alarm that has prometheus or http"),
        ({"prometheus": None, "query": None}, "alarms.checkout: 'metric' is missing"),
    ],
)
def test_a_mistake_is_told_with_its_place(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        alarm_of({**QUERY, **changes})


def test_a_path_to_several_numbers_is_refused() -> None:
    with pytest.raises(Invalid, match="must lead to one number"):
        alarm_of({**DOCUMENT, "value": "$.rates[*]"})


def test_a_target_whose_alarms_aws_evaluates_refuses_signals() -> None:
    model = {"image": "tidegate/xgboost", "data": "s3://m/model.tar.gz"}
    wish = spec.parse({"endpoint": "fraud", "model": model, "alarms": {"checkout": QUERY}}, NOW)
    found = Findings()
    options = SagemakerOptions(region="eu-central-1", role_arn="arn:aws:iam::0:role/r")
    compile_alarms(wish, wish.config.name, options, found)
    assert any("CloudWatch reads no signals" in one for one in found.refusals)
