"""Tidegate's own API on a store in memory: what it answers, what it writes, what it refuses."""

import asyncio
import json
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.gateway_harness import KEY, SECRET, SIGNED, GatewayHarness
from tidegate import spec
from tidegate.domain.errors import Invalid
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.features.planner import planning as planner
from tidegate.monitoring import sketch
from tidegate.ports.store import Filter
from tidegate.service.record_kinds import MODEL

R = TypeVar("R")
API = "http://127.0.0.1:8471/tidegate/v1"
SPEC = {
    "endpoint": "fraud",
    "model": {"image": "tidegate/xgboost", "data": "file:///m/model.tar.gz"},
    "rollout": {"strategy": "canary", "size": "10%", "wait": "1h", "alarms": ["errors"]},
    "alarms": {"errors": {"metric": "Invocation5XXErrors", "statistic": "average", "above": "2%"}},
}
NEXT = {**SPEC, "model": {"image": "tidegate/xgboost", "data": "file:///m/better.tar.gz"}}


class Caller:
    """Speaks to a house in one event loop, as a client does."""

    def __init__(self, house: GatewayHarness) -> None:
        self.house = house
        self._runner = asyncio.Runner()
        self._client = house.client()

    def __call__(self, method: str, path: str, data: object = None, **options: Any) -> httpx.Response:
        if data is not None:
            options["content"] = json.dumps(data)
            options["headers"] = {"Content-Type": "application/json", **options.get("headers", {})}
        return self.run(self._client.request(method, API + path, **options))

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        return self._runner.run(work)

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.run(self.house.store.close())
        self._runner.close()


@pytest.fixture
def call() -> Iterator[Caller]:
    caller = Caller(GatewayHarness())
    yield caller
    caller.close()


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


def told(call: Caller, name: str = "fraud") -> list[str]:
    return [event["message"] for event in call("GET", f"/endpoints/{name}/events").json()["events"]]


# --- deploy, look, command, delete ---------------------------------------------------------------------------


def test_a_deploy_makes_everything_at_once_and_wakes_the_engine(call: Caller) -> None:
    answer = call("PUT", "/deploy", {"spec": SPEC, "by": "ada"})
    assert (answer.status_code, answer.json()["change"]) == (200, "created")
    shown = call("GET", "/endpoints/fraud").json()
    assert (shown["name"], shown["status"]) == ("fraud", "Creating")
    assert [one["name"] for one in call("GET", "/endpoints").json()["endpoints"]] == ["fraud"]
    assert [one["metric"] for one in call("GET", "/alarms").json()["alarms"]] == ["Invocation5XXErrors"]
    assert call.house.kicked == ["fraud"]
    assert "by ada" in told(call)[0]


def test_the_same_deploy_again_changes_nothing(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    assert call("PUT", "/deploy", {"spec": SPEC}).json()["change"] == "unchanged"
    assert len(told(call)) == 1


def test_another_deploy_in_the_middle_of_a_change_is_refused(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    status, code, message = refusal(call("PUT", "/deploy", {"spec": NEXT}))
    assert (status, code) == (409, "Conflict")
    assert "fraud" in message
    assert call.house.kicked == ["fraud"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "expected keys and values, got nothing"),
        ({"spec": "fraud"}, "expected keys and values, got 'fraud'"),
        ({"spec": {**SPEC, "endpoint": "not a name"}}, "endpoint: 'not a name'"),
        ({"spec": {**SPEC, "model": {"image": "x", "data": "ftp://x"}}}, "model.data: 'ftp://x'"),
        (
            {"spec": {**SPEC, "model": {"image": "x", "data": "s3://models/..."}}},
            "s3://models/... is a placeholder: put",
        ),
        (
            {"spec": SPEC, "overide": True},
            "'overide' is not a member of this request; expected by, override, spec",
        ),
        ({"spec": SPEC, "override": "yes"}, "'override' must be true or false"),
        ({"spec": SPEC, "supersede": 1}, "'supersede' must be true or false"),
        ({"spec": SPEC, "by": 7}, "'by' must be text"),
        ({"spec": SPEC, "by": "x" * 129}, "'by' must be text"),
        ({"spec": SPEC, "by": "a\nb"}, "'by' must be text"),
    ],
)
def test_invalid_deploy_is_refused_and_changes_nothing(call: Caller, data: object, message: str) -> None:
    status, code, said = refusal(call("PUT", "/deploy", data))
    assert (status, code) == (400, "Invalid")
    assert message in said and "\n" not in said
    assert call("GET", "/endpoints").json() == {"endpoints": []}
    assert call.house.kicked == []


@pytest.mark.parametrize("example", planner.examples())
def test_the_placeholder_of_a_plan_is_refused_by_every_request_that_starts_something(
    call: Caller, example: str
) -> None:
    """With the same message as the commands', and until model data is put in."""
    asked = {"example": example}
    planned = call("POST", "/plan", asked).json()["spec"]
    source, sink = {"uri": "s3://in/rows.csv", "content_type": "text/csv"}, {"uri": "s3://out/"}
    job = {"spec": planned, "source": source, "sink": sink}
    with pytest.raises(Invalid) as said:
        spec.load(json.dumps(planned), "plan.yaml").refuse_placeholders()
    message = said.value.message.removeprefix("plan.yaml:1: ")
    assert "s3://models/" in message and "is a placeholder: put in where your model is" in message
    for method, path, body in (("PUT", "/deploy", {"spec": planned}), ("POST", "/transforms", job)):
        assert refusal(call(method, path, body)) == (400, "Invalid", message)
    assert call.house.kicked == []
    for _, model in spec.artifacts(planned):
        model["data"] = "s3://my-models/one/" if "multi_model" in model else "s3://my-models/one.tar.gz"
    deployed = call("PUT", "/deploy", {"spec": planned})
    if "job" in planned:
        assert deployed.status_code == 400 and "tidegate batch" in deployed.text
    else:
        assert deployed.status_code == 200


def test_a_diff_says_what_a_deploy_would_change_and_changes_nothing(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    events = told(call)
    assert call("POST", "/diff", {"spec": SPEC}).json()["changes"] == []
    found = call("POST", "/diff", {"spec": {**NEXT, "tags": {"team": "risk"}}}).json()
    assert [one["what"] for one in found["changes"]] == ["model.data", "tags.team"]
    assert (
        refusal(call("POST", "/diff", {"spec": {**SPEC, "instances": 0}}))[2] == "instances: 0: must be at least 1"
    )
    assert told(call) == events


def test_a_rollout_is_paused_resumed_promoted_and_aborted(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    paused = call("POST", "/endpoints/fraud/rollout/pause", {"by": "ada"}).json()
    assert paused["rollout"]["paused"]["by"] == "ada"
    assert call("POST", "/endpoints/fraud/rollout/resume", {"by": "ada"}).json()["rollout"]["paused"] is None
    assert call("POST", "/endpoints/fraud/rollout/promote", {"by": "bob"}).status_code == 200
    assert call("POST", "/endpoints/fraud/rollout/abort").status_code == 200
    assert [message.split()[0] for message in told(call)[1:]] == ["pause", "resume", "promote", "abort"]
    assert told(call)[-1] == "abort asked for by somebody"
    assert call.house.kicked == ["fraud"] * 5


def test_a_command_that_the_state_forbids_is_a_conflict(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    assert refusal(call("POST", "/endpoints/fraud/rollout/resume", {}))[:2] == (409, "Conflict")
    assert refusal(call("POST", "/endpoints/fraud/rollout/retry", {"override": True}))[:2] == (409, "Conflict")
    assert call.house.kicked == ["fraud"]


def test_unknown_rollout_command_is_refused(call: Caller) -> None:
    status, code, message = refusal(call("POST", "/endpoints/fraud/rollout/explode", {}))
    assert (status, code) == (404, "NotFound")
    assert message == "a rollout has no command 'explode'; it has pause, resume, abort, promote, retry, undo"


def test_promoting_fully_is_asked_for_by_full(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    assert call("POST", "/endpoints/fraud/rollout/promote", {"by": "bob"}).status_code == 200
    assert call("POST", "/endpoints/fraud/rollout/promote", {"by": "bob", "full": True}).status_code == 200
    assert told(call)[1:] == [
        "promote asked for by bob in stage 1 of 1",
        "promote --full asked for by bob in stage 1 of 1",
    ]
    assert (
        refusal(call("POST", "/endpoints/fraud/rollout/promote", {"full": 1}))[2] == "'full' must be true or false"
    )


def test_a_command_says_why_and_which_rollout_and_stage_it_is_meant_for(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    pause, promote = "/endpoints/fraud/rollout/pause", "/endpoints/fraud/rollout/promote"
    rollout = call("GET", "/endpoints/fraud").json()["rollout"]["id"]
    meant = {"by": "ada", "reason": "p99 looks odd", "rollout": rollout}
    assert "no longer the one" in refusal(call("POST", pause, {**meant, "rollout": "rollout-earlier"}))[2]
    assert "no longer in stage 2" in refusal(call("POST", promote, {**meant, "stage": 2}))[2]
    assert len(told(call)) == 1
    assert call("POST", pause, meant).status_code == 200
    assert call("POST", promote, {**meant, "stage": 1}).status_code == 200
    assert told(call)[1:] == [
        "pause asked for by ada: p99 looks odd",
        "promote asked for by ada in stage 1 of 1: p99 looks odd",
    ]


@pytest.mark.parametrize(
    "wrong", [{"reason": "a\nb"}, {"reason": 1}, {"reason": "x" * 501}, {"rollout": 1}, {"stage": True}]
)
def test_a_purpose_that_cannot_be_meant_is_refused(call: Caller, wrong: dict[str, object]) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    assert refusal(call("POST", "/endpoints/fraud/rollout/pause", wrong))[:2] == (400, "Invalid")
    assert len(told(call)) == 1


def test_a_failed_creation_is_replaced_by_the_next_deploy(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC, "by": "ada"})
    call("POST", "/endpoints/fraud/rollout/abort")
    assert call("GET", "/endpoints/fraud").json()["status"] == "Failed"
    assert call("PUT", "/deploy", {"spec": NEXT, "by": "bob"}).json()["change"] == "created"
    assert call("GET", "/endpoints/fraud").json()["status"] == "Creating"
    states = [one["state"] for one in call("GET", "/endpoints/fraud/history").json()["versions"]]
    assert states == ["RollingOut", "Failed"]


def test_the_history_shows_every_version_newest_first(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC, "by": "ada"})
    (one,) = call("GET", "/endpoints/fraud/history").json()["versions"]
    assert (one["version"], one["state"], one["by"], one["ended_at"]) == (1, "RollingOut", "ada", None)
    assert len(one["spec_digest"]) == 16 and one["artifact_digests"] == {} and one["artifacts_kept"] is False
    assert one["variants"][0]["containers"][0]["data"] == "file:///m/model.tar.gz"
    assert refusal(call("GET", "/endpoints/churn/history"))[0] == 404


def test_undo_is_refused_without_a_version_to_go_back_to(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    undo = "/endpoints/fraud/rollout/undo"
    assert refusal(call("POST", undo, {}))[:2] == (409, "Conflict")
    assert refusal(call("POST", undo, {"to": 7})) == (
        404,
        "NotFound",
        "there is no version '7' in the history, which has 1",
    )
    assert "abort the rollout" in refusal(call("POST", undo, {"to": 1}))[2]
    for wrong in (True, 1.5, ["1"]):
        assert refusal(call("POST", undo, {"to": wrong}))[:2] == (400, "Invalid")
    assert call.house.kicked == ["fraud"]


def test_deleting_in_the_middle_of_a_change_needs_force(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    assert refusal(call("DELETE", "/endpoints/fraud"))[:2] == (409, "Conflict")
    assert call("DELETE", "/endpoints/fraud?force=1").json()["status"] == "Deleting"
    assert call.house.kicked == ["fraud", "fraud"]


def test_with_keys_the_journal_names_the_key() -> None:
    call = Caller(GatewayHarness(SIGNED))
    body = json.dumps({"spec": SPEC, "by": "ada"})
    request = AWSRequest("PUT", f"{API}/deploy", headers={"Content-Type": "application/json"}, data=body)
    SigV4Auth(Credentials(KEY, SECRET), "sagemaker", "us-east-1").add_auth(request)
    call("PUT", "/deploy", headers=dict(request.headers.items()), content=body)
    request = AWSRequest("GET", f"{API}/endpoints/fraud/events")
    SigV4Auth(Credentials(KEY, SECRET), "sagemaker", "us-east-1").add_auth(request)
    answer = call("GET", "/endpoints/fraud/events", headers=dict(request.headers.items()))
    assert f"by ada ({KEY})" in answer.json()["events"][0]["message"]
    call.close()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/events"),
        ("GET", "/live"),
        ("POST", "/rollout/pause"),
        ("POST", "/rollout/retry"),
    ],
)
@pytest.mark.parametrize("name", ["nobody", "..", "-a", "x" * 64, "fra%20ud"])
def test_missing_endpoint_is_not_found(call: Caller, method: str, path: str, name: str) -> None:
    status, code, message = refusal(call(method, f"/endpoints/{name}{path}"))
    assert (status, code) == (404, "NotFound")
    assert "\n" not in message


@pytest.mark.parametrize(
    "name", ["a%2Fb", "fra%0Aud", "%C3%BC", "%2E%2E", "%66raud", "fraud;x=1", "a%5Cb", "a%00"]
)
def test_a_path_that_could_be_read_in_two_ways_is_refused(call: Caller, name: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/logs"), ("POST", "/rollout/pause")):
        status, code, message = refusal(call(method, f"/endpoints/{name}{path}"))
        assert (status, code) == (400, "Invalid")
        assert "canonical form" in message


def test_a_number_given_twice_is_refused_since_their_order_is_not_signed(call: Caller) -> None:
    assert refusal(call("GET", "/endpoints/fraud/logs?tail=5&tail=6"))[:2] == (400, "Invalid")


def test_logs_are_only_looked_for_under_a_name(call: Caller) -> None:
    assert call("GET", "/endpoints/fraud/logs?tail=5").json()["replicas"][0]["lines"] == ["started"]
    assert refusal(call("GET", "/endpoints/../logs"))[:2] == (404, "NotFound")


def test_no_logs_of_an_endpoint_that_is_not_there(call: Caller) -> None:
    call.house.logged.clear()
    assert refusal(call("GET", "/endpoints/nobody/logs")) == (404, "NotFound", 'there is no endpoint "nobody"')
    call("PUT", "/deploy", {"spec": SPEC})
    assert call("GET", "/endpoints/fraud/logs").json() == {"replicas": []}


def test_models_are_only_asked_for_of_an_endpoint_that_is_there(call: Caller) -> None:
    assert refusal(call("GET", "/endpoints/nobody/models"))[:2] == (404, "NotFound")
    call("PUT", "/deploy", {"spec": SPEC})
    (replica,) = call("GET", "/endpoints/fraud/models?limit=2").json()["replicas"]
    assert replica == {"replica": "fraud-0", "models": [{"name": "m0"}, {"name": "m1"}]}
    assert refusal(call("GET", "/endpoints/fraud/models?limit=-1"))[0] == 400


def test_down_asks_the_platform_to_stop(call: Caller) -> None:
    answer = call("POST", "/down", {})
    assert (answer.status_code, answer.json(), call.house.downs) == (202, {"status": "stopping"}, 1)


# --- events --------------------------------------------------------------------------------------------------


def test_events_continue_after_the_given_line(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    first = call("GET", "/endpoints/fraud/events").json()
    assert call("GET", f"/endpoints/fraud/events?after={first['next']}").json() == {
        "events": [],
        "next": first["next"],
    }
    call("POST", "/endpoints/fraud/rollout/pause", {"by": "ada"})
    (event,) = call("GET", f"/endpoints/fraud/events?after={first['next']}").json()["events"]
    assert (event["kind"], event["data"]) == ("pause", {"by": "ada"})
    assert len(call("GET", "/endpoints/fraud/events?limit=1").json()["events"]) == 1


def test_waiting_for_events_returns_when_one_arrives(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    after = call("GET", "/endpoints/fraud/events").json()["next"]

    async def both() -> tuple[httpx.Response, httpx.Response]:
        async with call.house.client() as client:
            path = f"{API}/endpoints/fraud"
            waiting = asyncio.create_task(client.get(f"{path}/events?after={after}&wait=20", timeout=30))
            paused = await client.post(f"{path}/rollout/pause")
            call.house.changed.set()
            call.house.changed.clear()
            return await waiting, paused

    answer, paused = call.run(both())
    assert paused.status_code == 200
    assert [event["kind"] for event in answer.json()["events"]] == ["pause"]


def test_waiting_for_events_times_out(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    after = call("GET", "/endpoints/fraud/events").json()["next"]
    assert call("GET", f"/endpoints/fraud/events?after={after}&wait=1").json() == {"events": [], "next": after}


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "limit=0", "limit=1001", "wait=21", "wait=1.5", "after=²"]
)
def test_numbers_out_of_range_are_refused(call: Caller, query: str) -> None:
    status, code, message = refusal(call("GET", f"/endpoints/fraud/events?{query}"))
    assert (status, code) == (400, "Invalid")
    assert "expected a whole number from" in message


# --- live ----------------------------------------------------------------------------------------------------


def sample(
    name: str, config: str, age: int, values: list[float], house: GatewayHarness, variant: str = "AllTraffic"
) -> Sample:
    dimensions = {"EndpointName": "fraud", "EndpointConfigName": config, "VariantName": variant}
    return Sample(
        MetricId.of(SAGEMAKER, name, dimensions),
        int(house.clock.now().timestamp()) - age,
        count=len(values),
        total=sum(values),
        low=min(values),
        high=max(values),
        bins=sketch.merge({sketch.index(value): 1.0} for value in values),
    )


def test_live_shows_the_last_seconds_of_each_fleet(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    house = call.house
    both_sides = {dimension: "x" for dimension in ("EndpointName", "VariantName")}
    call.run(
        house.metrics.put(
            [
                sample("Invocations", "old", 2, [1.0] * 30, house),
                sample("Invocations", "old", 3, [1.0] * 10, house),
                sample("Invocations", "new", 2, [1.0] * 10, house),
                sample("Invocations", "older", 300, [1.0] * 10, house),
                sample("ModelLatency", "old", 2, [2_000.0] * 98 + [80_000.0] * 2, house),
                sample("Invocation5XXErrors", "new", 2, [1.0, 0.0], house),
                Sample(MetricId.of(SAGEMAKER, "Invocations", both_sides), 0, 1, 1, 1, 1),
            ]
        )
    )
    fleets = call("GET", "/endpoints/fraud/live?seconds=10").json()["fleets"]
    assert [fleet["config"] for fleet in fleets] == ["new", "old"]
    new, old = fleets
    assert (old["variant"], old["requests"], old["rate"], old["errors_5xx"]) == ("AllTraffic", 40, 4, 0)
    assert (old["p50_ms"], old["p99_ms"]) == (pytest.approx(2, rel=0.01), pytest.approx(80, rel=0.01))
    assert (new["rate"], new["errors_5xx"], new["p99_ms"]) == (1, 1, None)


def test_a_shadow_is_compared_with_what_answers(call: Caller) -> None:
    shadow = {"model": {"image": "tidegate/xgboost", "data": "file:///m/other.tar.gz"}, "share": "50%"}
    config = call("PUT", "/deploy", {"spec": {**SPEC, "shadow": shadow}}).json()["config"]
    house = call.house
    made = [
        ("Invocations", [1.0] * 100, "AllTraffic"),
        ("Invocations", [1.0] * 50, "shadow"),
        ("ModelLatency", [1_000.0] * 100, "AllTraffic"),
        ("ModelLatency", [3_000.0] * 50, "shadow"),
        ("InvocationModelErrors", [1.0] + [0.0] * 49, "shadow"),
        ("MirrorCopies", [0.0] + [1.0] * 49, "AllTraffic"),
        ("MirrorDropped", [1.0] * 2, "AllTraffic"),
        ("MirrorAgreement", [1.0] * 42 + [0.0] * 7, "AllTraffic"),
        ("MirrorDifference", [0.0] * 42 + [0.7] * 7, "AllTraffic"),
        ("MirrorLargestDifference", [0.0] * 42 + [0.9] * 7, "AllTraffic"),
    ]
    call.run(house.metrics.put([sample(name, config, 5, values, house, of) for name, values, of in made]))
    answer = call("GET", "/endpoints/fraud/shadow?seconds=60").json()
    [one] = answer["comparisons"]
    assert answer["kept"].endswith("/shadow/fraud")
    assert (one["config"], one["variant"], one["shadow"], one["share"]) == (config, "AllTraffic", "shadow", 50)
    assert (one["copies"], one["failed"], one["dropped"], one["compared"]) == (50, 1, 2, 49)
    assert one["agreement"] == pytest.approx(42 / 49)
    assert (one["mean_difference"], one["largest_difference"]) == (pytest.approx(0.1), pytest.approx(0.9))
    assert one["with_numbers"] == 49
    assert (one["original"]["requests"], one["original"]["errors"]) == (100, 0)
    assert (one["copied"]["requests"], one["copied"]["errors"]) == (50, pytest.approx(0.02))
    assert one["copied"]["p99_ms"] == pytest.approx(3, rel=0.01)
    assert one["original"]["p50_ms"] == pytest.approx(1, rel=0.01)


def test_data_capture_is_counted_by_fleet(call: Caller) -> None:
    capture = {"to": "s3://captures/fraud", "sample": "20%", "sides": ["input"], "redact": {}}
    config = call("PUT", "/deploy", {"spec": {**SPEC, "capture": capture}}).json()["config"]
    house = call.house
    made = [("CapturedRequests", [5.0, 7.0]), ("CaptureDropped", [2.0]), ("CaptureBacklog", [0.0, 900.0, 400.0])]
    call.run(house.metrics.put([sample(name, config, 5, values, house) for name, values in made]))
    [one] = call("GET", "/endpoints/fraud/capture?seconds=60").json()["captures"]
    assert one == {
        "config": config,
        "variant": "AllTraffic",
        "destination": "s3://captures/fraud",
        "percent": 20,
        "sides": ["input"],
        "redacted": True,
        "captured": 12,
        "dropped": 2,
        "backlog": 900,
    }


def test_an_endpoint_without_capture_says_so(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    status, _, message = refusal(call("GET", "/endpoints/fraud/capture"))
    assert status == 404 and "has no data capture" in message


def test_an_endpoint_without_a_shadow_has_nothing_to_compare(call: Caller) -> None:
    assert call("GET", "/endpoints/fraud/shadow").status_code == 404
    call("PUT", "/deploy", {"spec": SPEC})
    status, _, message = refusal(call("GET", "/endpoints/fraud/shadow"))
    assert status == 404 and "has no shadow variant" in message


# --- bodies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"[]", "the body must be a JSON object"),
        (b"\xff{}", "the body is not UTF-8"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"spec": ' + b"9" * 5000 + b"}", "the body is not JSON"),
        (b'{"spec": ' + b"[" * 100 + b"]" * 100 + b"}", "nested more than 64 levels deep"),
        (b"[" * 200_000, "nested more than 64 levels deep"),
        (b'{"by": "\\u0000"}', "a NUL or an unpaired surrogate"),
        (b'{"by": "\\ud800"}', "a NUL or an unpaired surrogate"),
        (b'{"spec": {"\\ud800": 1}}', "a NUL or an unpaired surrogate"),
    ],
)
def test_invalid_json_body_is_refused(call: Caller, body: bytes, message: str) -> None:
    answer = call("PUT", "/deploy", content=body, headers={"Content-Type": "application/json"})
    status, code, said = refusal(answer)
    assert (status, code) == (400, "Invalid")
    assert message in said


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_body_with_another_content_type_is_refused(call: Caller, headers: dict[str, str]) -> None:
    answer = call("POST", "/down", content=b"{}", headers=headers)
    assert (refusal(answer)[:2], call.house.downs) == ((400, "Invalid"), 0)


@pytest.mark.parametrize(
    "kind", ["application/json; charset=UTF-8", "Application/JSON", 'application/json;charset="utf-8"']
)
def test_json_may_be_declared_in_any_spelling(call: Caller, kind: str) -> None:
    assert call("POST", "/down", content=b"{}", headers={"Content-Type": kind}).status_code == 202


# --- recommendation jobs -------------------------------------------------------------------------------------


def registered(call: Caller) -> str:
    """The name of the model that was deployed."""
    found = call.run(call.house.store.run(lambda tx: tx.find(MODEL, Filter()).items))
    return found[0].name


def test_a_recommendation_job_is_made_shown_and_stopped(call: Caller) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    call.house.kicked.clear()
    model = registered(call)
    body = {"model": model, "sample": "s3://data/rows.csv", "limits": {"latency": 0.05, "percent": 99}}
    made = call("POST", "/recommendations", {**body, "name": "sizes"})
    assert (made.status_code, made.json()["status"]) == (201, "PENDING")
    assert call.house.kicked == ["recommend.sizes"]
    assert made.json()["limits"]["percent"] == 99
    assert [one["job"] for one in call("GET", "/recommendations").json()["jobs"]] == ["sizes"]
    assert call("POST", "/recommendations/sizes/stop", {}).json()["status"] == "STOPPING"
    assert call("GET", "/recommendations/sizes").json()["sample"] == "s3://data/rows.csv"
    assert refusal(call("POST", "/recommendations", {**body, "name": "sizes"}))[0] == 409


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"model": "nobody's"}, "nobody's"),
        ({"sample": "rows.csv"}, "neither s3://BUCKET/KEY nor file:///PATH"),
        ({"sample": 7}, "'sample'"),
        ({"limits": {"latency": 0}}, "0 ms"),
        ({"limits": {"latency": "slow"}}, "'limits'"),
        ({"limits": {"seconds": 1e9}}, "give 1 to"),
        ({"name": "no names/like this"}, "invalid job name"),
        ({"wire": {}}, "'wire' is not a member"),
    ],
)
def test_a_job_that_cannot_be_is_refused_in_a_sentence(call: Caller, more: dict[str, Any], said: str) -> None:
    call("PUT", "/deploy", {"spec": SPEC})
    model = registered(call)
    status, _, message = refusal(
        call("POST", "/recommendations", {"model": model, "sample": "s3://d/r.csv", **more})
    )
    assert status in (400, 404) and said in message
    assert call("GET", "/recommendations").json()["jobs"] == []
