"""Traces of a whole platform, as a collector gets them."""

import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.features.tracing.otlp_collector import Collected, Collector
from tests.fixtures import STAND_IN, images
from tests.scene import Scene, canary
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.e2e
ROW = "0.1,0.2,0.3,0.4"
CALLER = "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("tracing")
    (folder / "headers").write_text("Authorization: Bearer s3cret-token\n")
    environment = {
        "TIDEGATE_IMAGES": str(images(folder)),
        "TIDEGATE_DRAIN_TIMEOUT": "5",
        "TIDEGATE_OUTPUT_ROOTS": str(folder),
        "TIDEGATE_TRACE_ENDPOINT": collector.url,
        "TIDEGATE_TRACE_RATIO": "0",
        "TIDEGATE_TRACE_HEADERS": str(folder / "headers"),
    }
    with Platform(environment=environment) as running:
        yield running


def invoke(platform: Platform, endpoint: str, **headers: str) -> httpx.Response:
    given = {"content-type": "text/csv", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.post(f"{platform.url}/endpoints/{endpoint}/invocations", content=ROW, headers=given)


def whole(collector: Collector, trace: str, parent: str = "") -> tuple[Collected, dict[str, Collected]]:
    """The first span of a trace that the platform made, and those below it by name."""

    def found() -> Collected | None:
        return next((span for span in collector.trace(trace) if span.parent == parent), None)

    root = wait_until(found, f"the trace {trace}")
    below = [span for span in collector.trace(trace) if span.parent == root.id]
    assert all(root.start <= span.start <= span.end <= root.end for span in below)
    return root, {span.name: span for span in below}


def metric(platform: Platform, name: str) -> int:
    lines = httpx.get(f"{platform.url}/metrics").text.splitlines()
    return int(next(line.split()[-1] for line in lines if line.startswith(f"{name} ")))


def test_traces_of_predictions_and_of_a_rollback(
    platform: Platform, scene: Scene, models: tuple[str, str], collector: Collector
) -> None:
    scene.create("traced", scene.config(models[0]))
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    asked = {"traceparent": f"00-{trace}-{CALLER}-01", "tracestate": "shop=7"}
    assert invoke(platform, "traced", **asked, x_amzn_sagemaker_inference_id="alice-1").status_code == 200
    root, below = whole(collector, trace, CALLER)
    assert (root.name, root.kind, root.state, root.failed) == ("invoke", 2, "shop=7", False)
    assert below.keys() == {"proxy", "wait", "model", "answer"}
    assert below["proxy"].end <= below["model"].start <= below["model"].end <= below["answer"].end
    assert below["model"].attributes == {"tidegate.batch.requests": 1, "tidegate.batch.rows": 1}
    described = scene.describe("traced")
    key = (platform.state / "trace.key").read_bytes()
    assert root.attributes.pop("tidegate.instance") and root.attributes.pop("tidegate.generation")
    assert root.attributes == {
        "tidegate.endpoint": "traced",
        "tidegate.config": described["EndpointConfigName"],
        "tidegate.variant": "AllTraffic",
        "http.response.status_code": 200,
        "tidegate.inference_id.hash": hmac.new(key, b"alice-1", "sha256").hexdigest()[:32],
    }
    assert collector.headers["authorization"] == "Bearer s3cret-token"
    started = [file.read_text() for file in platform.state.glob("fleets/traced/*/*/replicas/*/*.json")]
    assert started and not any("s3cret" in text for text in started)

    hostile = {"traceparent": f"00-{'F' * 32}-{CALLER}-01", "tracestate": "=" * 4000}
    before = len(collector.spans)
    assert invoke(platform, "traced", **hostile).status_code == 200
    assert invoke(platform, "traced", traceparent=f"00-{'7' * 32}-{CALLER}-00").status_code == 200

    # A collector that fails, then one that hangs: predictions are as before, and spans are counted as dropped.
    collector.status = 500
    assert invoke(platform, "traced", traceparent=f"00-{'8' * 32}-{CALLER}-01").status_code == 200
    wait_until(lambda: metric(platform, "tidegate_trace_spans_dropped_total"), "dropped spans")
    asked_before = collector.asked
    collector.goes_on.clear()
    assert invoke(platform, "traced", traceparent=f"00-{'9' * 32}-{CALLER}-01").status_code == 200
    wait_until(lambda: collector.asked > asked_before, "an export that hangs")
    assert invoke(platform, "traced").status_code == 200
    collector.status = 200
    collector.goes_on.set()
    assert [span for span in collector.spans[before:] if span.name == "invoke"] == []

    scene.alarm("traced-errors", "Invocation5XXErrors", 0.5, Dimensions=dimensions("traced"))
    bad = scene.config(None, image=STAND_IN, environment={"FAIL_EVERY": "1"})
    scene.update("traced", bad, canary(50, 60, alarms=["traced-errors"]))

    def turned_back() -> bool:
        invoke(platform, "traced")
        return "FailureReason" in scene.describe("traced")

    wait_until(turned_back, "the rollback", 90)
    assert scene.settled("traced")["EndpointStatus"] == "InService"
    check_rollback(collector, bad)
    check_asynchronous(scene, models[0], tmp_path_of(platform), collector)


def test_a_cold_start_is_a_span_of_the_request_that_waited(
    platform: Platform, scene: Scene, models: tuple[str, str], collector: Collector
) -> None:
    trace = "6" * 32
    serverless = {"memory": "1GiB", "max_concurrency": 2, "idle_after": "500ms"}
    with ApiClient({"TIDEGATE_URL": platform.url}) as server:
        spec = {"endpoint": "cold", "model": {"data": models[0]}, "serverless": serverless}
        server.deploy(spec, "ann", override=False, supersede=False)
    scene.settled("cold")
    wait_until(lambda: not any(one.is_running() for one in platform.workers("cold").values()), "nothing runs")
    assert invoke(platform, "cold", traceparent=f"00-{trace}-{CALLER}-01").status_code == 200
    _, below = whole(collector, trace, CALLER)
    assert [name for name, _ in below["cold start"].events][:1] == ["noticed"]
    assert {"fetched", "loaded"} <= {name for name, _ in below["cold start"].events}
    assert below["cold start"].end <= below["model"].start


def dimensions(endpoint: str) -> list[dict[str, str]]:
    return [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "AllTraffic"}]


def tmp_path_of(platform: Platform) -> Path:
    return Path(platform.environment["TIDEGATE_OUTPUT_ROOTS"])


def check_rollback(collector: Collector, config: str) -> None:
    def ended() -> Collected | None:
        found = (span for span in collector.spans if span.attributes.get("tidegate.config") == config)
        return next((span for span in found if span.name == "rollout"), None)

    root = wait_until(ended, "the trace of the rollback")
    assert root.failed and root.attributes["tidegate.outcome"] == "RolledBack"
    assert root.attributes["tidegate.cause"] in ("Alarm", "Evidence")
    spans = sorted((one for one in collector.trace(root.trace) if one is not root), key=lambda one: one.start)
    names = [one.name for one in spans]
    assert names[:2] == ["provision", "shift"] and names[-2:] == ["rollback", "cleanup"]
    assert all(one.parent == root.id for one in spans)
    ids = [one.id for one in collector.trace(root.trace)]
    assert len(ids) == len(set(ids))
    first = next(one for one in collector.spans if one.name == "rollout")
    assert first.attributes["tidegate.outcome"] == "Succeeded", "the creation"


def check_asynchronous(scene: Scene, data: str, out: Path, collector: Collector) -> None:
    """The acceptance continues the client's trace; the run has one of its own, which is linked to it."""
    model = scene.model(data)
    one = {
        "VariantName": "AllTraffic",
        "ModelName": model,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.c5.large",
    }
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName="later",
        ProductionVariants=[one],
        AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": out.as_uri()}},
    )
    scene.create("later", "later")
    trace = "5" * 32

    def add(request: Any, **_: Any) -> None:
        request.headers["traceparent"] = f"00-{trace}-{CALLER}-01"

    client = scene.client("sagemaker-runtime")
    client.meta.events.register("before-send.sagemaker-runtime", add)
    client.invoke_endpoint_async(EndpointName="later", ContentType="text/csv", Body=ROW.encode())
    accepted, _ = whole(collector, trace, CALLER)
    assert accepted.name == "accept" and accepted.kind == 4

    def ran() -> Collected | None:
        return next((span for span in collector.spans if (trace, accepted.id) in span.links), None)

    run = wait_until(ran, "the run of the request")
    assert (run.name, run.kind, run.parent) == ("invoke", 5, "")
    assert run.trace != trace and run.attributes["tidegate.endpoint"] == "later"
    assert run.attributes["tidegate.inference_id.hash"] == accepted.attributes["tidegate.inference_id.hash"]
