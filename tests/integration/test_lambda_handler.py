"""The handler of a Lambda function: the same answers and errors as a worker, its deadline, batches of messages."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.unit.serving.aws_lambda.lambda_events import event_bridge, http_api, rest_api, sqs
from tests.worker_process import Workers, models, workers
from tidegate.domain.errors import ArtifactError, StartTimeout, Transient
from tidegate.domain.fleet import FleetId
from tidegate.serving.aws_lambda.handler import EventHandler
from tidegate.serving.aws_lambda.loop_model import LoopModel
from tidegate.serving.aws_lambda.replies import FunctionError, Reply
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec

pytestmark = pytest.mark.slow

__all__ = ["models", "workers"]

SLOW = """
import time

def model_fn(folder):
    return None

def transform_fn(model, body, content_type, accept):
    if body == b"hang":
        time.sleep(3600)
    if body == b"fail":
        raise RuntimeError("the model is broken")
    return body.decode() if isinstance(body, bytes) else body, accept or "text/plain"
"""
GOOD, BAD = "0.5,1,2,3,4", "0.5,1"


@dataclass
class Context:
    seconds: float = 30.0
    aws_request_id: str = "request-1"
    function_name: str = "fraud"
    function_version: str = "7"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@dataclass
class MemoryResults:
    stored: dict[str, bytes] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)

    def put(self, id: str, reply: Reply) -> None:
        if id in self.away:
            raise Transient("S3 cannot be reached")
        self.stored[id] = reply.body


def spec_of(model: Path, kind: RuntimeKind, **changes: object) -> ReplicaSpec:
    environment = {"TIDEGATE_TRUST": "code"} if kind is RuntimeKind.SCRIPT else {}
    container = ContainerSpec(runtime=RuntimeChoice(kind), model_dir=str(model), environment=environment)
    made = ReplicaSpec(
        replica="function",
        fleet=FleetId("fraud", 3, "Blue"),
        config_name="fraud-v3",
        containers=(container,),
        socket="",
        log_group="/aws/sagemaker/Endpoints/fraud",
        log_stream_arn="arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/fraud",
        max_body=6 * 1024 * 1024,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("binary")
    (folder / "model.ubj").write_bytes((models / "binary.ubj").read_bytes())
    return folder


@pytest.fixture(scope="module")
def loaded(model: Path) -> Iterator[tuple[ReplicaSpec, LoopModel]]:
    spec = spec_of(model, RuntimeKind.XGBOOST)
    opened = LoopModel(spec, 60)
    yield spec, opened
    opened.close()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def handler(loaded: tuple[ReplicaSpec, LoopModel], lines: list[str]) -> EventHandler:
    return EventHandler(*loaded, MemoryResults(), lines.append)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ReplicaSpec, LoopModel]]:
    """A model whose calls hang or fail by request, in one thread."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text(SLOW)
    spec = spec_of(folder, RuntimeKind.SCRIPT)
    opened = LoopModel(spec, 60)
    yield spec, opened
    opened.close()


REQUESTS: list[tuple[bytes, Mapping[str, str]]] = [
    (GOOD.encode(), {"Content-Type": "text/csv"}),
    (f"{GOOD}\n{GOOD}\n,,,,\n".encode(), {"Content-Type": "text/csv"}),
    (b"[[0.5, 1, 2, 3, null]]", {"Content-Type": "application/json"}),
    (b'{"instances": [[0.5, 1, 2, 3, 4]]}', {"Content-Type": "application/json", "Accept": "text/csv"}),
    (b"[[0.5, 1, 2, 3, 4]]", {"Content-Type": "application/json", "Accept": "application/jsonlines"}),
    (GOOD.encode(), {}),
    (BAD.encode(), {"Content-Type": "text/csv"}),
    (b"one,two,3,4,5", {"Content-Type": "text/csv"}),
    (b"1e999,1,1,1,1", {"Content-Type": "text/csv"}),
    (b"\xff\xfe", {"Content-Type": "text/csv"}),
    (b"{", {"Content-Type": "application/json"}),
    (b"[[1,2,3,4,NaN]]", {"Content-Type": "application/json"}),
    (GOOD.encode(), {"Content-Type": "image/png"}),
    (GOOD.encode(), {"Content-Type": "text/csv", "Accept": "image/png"}),
    (GOOD.encode(), {"Content-Type": "text/csv", "X-Amzn-SageMaker-Target-Model": "other"}),
    (GOOD.encode(), {"Content-Type": "text/csv", "X-Amzn-SageMaker-Inference-Component": "other"}),
    (b"x" * 300_000, {"Content-Type": "text/csv"}),
]


def test_a_function_answers_and_refuses_as_a_worker_does(
    handler: EventHandler, model: Path, workers: Workers
) -> None:
    worker = workers.xgboost(model / "model.ubj", max_body=6 * 1024 * 1024)

    async def compare() -> None:
        await worker.ready()
        for body, headers in REQUESTS:
            expected = await worker.ask(body=body, headers=headers)
            answer = handler(http_api(body, headers), Context())
            assert isinstance(answer, dict)
            told = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
            own = {name.lower(): value for name, value in answer["headers"].items()}
            assert (answer["statusCode"], told) == (expected.status, expected.body), (body[:40], headers)
            for name in (
                "content-type",
                "x-amzn-errortype",
                "x-amzn-invoked-production-variant",
                "x-tidegate-config",
            ):
                assert own.get(name) == expected.headers.get(name), (name, body[:40], headers)

    workers.run(compare())


def test_every_way_to_ask_gives_the_same_answer(handler: EventHandler) -> None:
    expected = handler(http_api(GOOD, {"Content-Type": "text/csv"}), Context())
    assert isinstance(expected, dict) and expected["statusCode"] == 200
    for event in (
        rest_api(GOOD, {"content-type": "text/csv"}),
        http_api(GOOD.encode(), {"Content-Type": "text/csv"}),
        {"body": GOOD, "contentType": "text/csv"},
        event_bridge({"body": GOOD, "contentType": "text/csv"}),
    ):
        answer = handler(event, Context())
        assert isinstance(answer, dict)
        assert (answer["statusCode"], answer["body"]) == (200, expected["body"])


def test_a_health_check_needs_no_model_and_other_methods_are_refused(handler: EventHandler) -> None:
    ping = handler(http_api(None, method="GET", path="/prod/ping"), Context())
    get = handler(http_api(None, method="GET"), Context())
    assert isinstance(ping, dict) and ping["statusCode"] == 200
    assert isinstance(get, dict) and get["statusCode"] == 405


def test_a_refusal_is_a_count_in_the_log_since_lambda_counts_a_success(
    handler: EventHandler, lines: list[str]
) -> None:
    handler(http_api(BAD, {"Content-Type": "text/csv"}), Context())
    (line,) = lines
    told = json.loads(line)
    assert (told["RefusedInvocations"], told["FunctionName"], told["ExecutedVersion"]) == (1, "fraud", "7")
    directive = told["_aws"]["CloudWatchMetrics"][0]
    assert directive["Dimensions"] == [["FunctionName", "ExecutedVersion"]]
    assert directive["Metrics"] == [{"Name": "RefusedInvocations", "Unit": "Count"}]


def test_a_body_over_the_limit_is_refused(handler: EventHandler) -> None:
    small = EventHandler(replace(handler.spec, max_body=10), handler.model)
    answer = small({"body": GOOD * 10, "contentType": "text/csv"}, Context())
    assert isinstance(answer, dict) and answer["statusCode"] == 413


def test_an_answer_over_lambdas_limit_is_an_error_that_says_so(slow: tuple[ReplicaSpec, LoopModel]) -> None:
    answer = EventHandler(*slow)({"body": '"' * (4 * 1024 * 1024), "contentType": "text/plain"}, Context())
    assert isinstance(answer, dict) and answer["statusCode"] == 413
    assert "a Lambda function may answer with 6291456" in answer["body"]


# --- deadlines and broken models ---


def test_a_hanging_request_ends_before_the_functions_deadline_and_the_next_is_answered(
    slow: tuple[ReplicaSpec, LoopModel],
) -> None:
    handler = EventHandler(*slow)
    answer = handler(http_api("hang", {"Content-Type": "text/plain"}), Context(seconds=0.6))
    assert isinstance(answer, dict)
    assert answer["statusCode"] == 424 and "timed out" in answer["body"]
    for _ in range(2):
        after = handler(http_api("ping", {"Content-Type": "text/plain"}), Context())
        assert isinstance(after, dict) and (after["statusCode"], after["body"]) == (200, "ping")
    assert handler.model is not slow[1]


def test_without_time_left_nothing_is_started(handler: EventHandler) -> None:
    answer = handler(http_api(GOOD, {"Content-Type": "text/csv"}), Context(seconds=0.0))
    assert isinstance(answer, dict) and answer["statusCode"] == 424


def test_a_failing_model_fails_the_invocation_where_nobody_reads_a_status(
    slow: tuple[ReplicaSpec, LoopModel], lines: list[str]
) -> None:
    handler = EventHandler(*slow, None, lines.append)
    for event in ({"body": "fail"}, event_bridge({"body": "fail"})):
        with pytest.raises(FunctionError, match=r"424 ModelError: Received server error \(500\)"):
            handler(event, Context())
    assert lines == []
    answer = handler(http_api("fail"), Context())
    assert isinstance(answer, dict) and answer["statusCode"] == 424
    assert json.loads(lines[0])["FailedInvocations"] == 1


def test_what_is_no_request_fails_the_invocation(handler: EventHandler) -> None:
    for event in (None, 5, "text", {}, {"Records": [{"eventSource": "aws:s3"}]}, {"body": "1", "contentTyp": "x"}):
        with pytest.raises(FunctionError, match="400 ValidationError"):
            handler(event, Context())
    bad = handler({**http_api("1"), "isBase64Encoded": "maybe"}, Context())
    assert isinstance(bad, dict) and bad["statusCode"] == 400
    good = handler({"body": GOOD, "contentType": "text/csv"}, Context())
    assert isinstance(good, dict) and good["statusCode"] == 200


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        LoopModel(spec_of(tmp_path, RuntimeKind.XGBOOST), 30)


def test_a_model_that_loads_for_too_long_is_named(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text("import time\ntime.sleep(3)\n")
    with pytest.raises(StartTimeout):
        LoopModel(spec_of(tmp_path, RuntimeKind.SCRIPT), 0.5)


# --- SQS ---


def failures(answer: object) -> list[str]:
    assert isinstance(answer, dict)
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def stored(handler: EventHandler) -> dict[str, bytes]:
    assert isinstance(handler.results, MemoryResults)
    return handler.results.stored


def test_a_batch_fails_message_by_message(handler: EventHandler, lines: list[str]) -> None:
    event = sqs({"a": GOOD, "b": BAD, "c": "", "d": GOOD})
    assert failures(handler(event, Context())) == ["b", "c"]
    assert stored(handler).keys() == {"a", "d"}
    alone = handler({"body": GOOD, "contentType": "text/csv"}, Context())
    assert isinstance(alone, dict) and stored(handler)["a"].decode() == alone["body"]
    assert any("message b failed: 424 ModelError" in line for line in lines)
    assert json.loads(lines[-1])["FailedInvocations"] == 1


def test_a_batch_without_failures_names_none(handler: EventHandler, lines: list[str]) -> None:
    assert failures(handler(sqs({"a": GOOD, "b": GOOD}), Context())) == []
    assert lines == []


def test_of_a_fifo_queue_nothing_overtakes_a_failed_message(handler: EventHandler) -> None:
    assert failures(handler(sqs({"a": GOOD, "b": BAD, "c": GOOD}, fifo=True), Context())) == ["b", "c"]
    assert stored(handler).keys() == {"a"}
    unreadable = sqs({"d": GOOD, "e": GOOD, "f": GOOD}, fifo=True)
    unreadable["Records"][1]["body"] = 5
    assert failures(handler(unreadable, Context())) == ["e", "f"]
    assert stored(handler).keys() == {"a", "d"}


def test_a_message_whose_answer_cannot_be_stored_is_delivered_again(handler: EventHandler) -> None:
    assert isinstance(handler.results, MemoryResults)
    handler.results.away = {"a"}
    assert failures(handler(sqs({"a": GOOD, "b": GOOD}), Context())) == ["a"]
    handler.results.away = set()
    assert failures(handler(sqs({"a": GOOD}), Context())) == []
    assert stored(handler)["a"] == stored(handler)["b"]


def test_without_a_place_for_answers_no_message_is_taken(handler: EventHandler, lines: list[str]) -> None:
    nowhere = EventHandler(handler.spec, handler.model, None, lines.append)
    assert failures(nowhere(sqs({"a": GOOD, "b": GOOD}), Context())) == ["a", "b"]
    assert "set TIDEGATE_RESULTS" in lines[0]


def test_messages_beyond_the_deadline_are_delivered_again(slow: tuple[ReplicaSpec, LoopModel]) -> None:
    handler = EventHandler(*slow, MemoryResults(), lambda line: None)
    began = time.monotonic()
    answer = handler(sqs({"a": "ok", "b": "hang", "c": "ok"}, content_type=None), Context(seconds=1.0))
    assert "b" in failures(answer)
    assert time.monotonic() - began < 30  # not for an hour
    assert set(failures(handler(sqs({"c": "ok"}, content_type=None), Context()))) == set()
