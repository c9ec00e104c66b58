"""Serverless endpoints on a whole platform: boto3, real workers, the real proxy."""

import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from onnx import TensorProto, helper

from tests.fixtures import STAND_IN, images
from tests.scene import Scene, canary
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.e2e
ROW = [[0.1, 0.2, 0.3, 0.4]]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    table = images(tmp_path_factory.mktemp("images"))
    environment = {
        "TIDEGATE_IMAGES": str(table),
        "TIDEGATE_DRAIN_TIMEOUT": "5",
        "TIDEGATE_QUEUE_TIMEOUT": "1",
        "TIDEGATE_TRUST": "code",
    }
    with Platform(environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def scene(platform: Platform) -> Scene:
    return Scene(platform)


def deploy(platform: Platform, name: str, model: dict[str, Any], **bounds: Any) -> None:
    serverless = {"memory": "1GiB", "max_concurrency": 50, "idle_after": "500ms", **bounds}
    spec = {"endpoint": name, "model": model, "serverless": serverless}
    httpx.put(f"{platform.url}/tidegate/v1/deploy", json={"spec": spec}, timeout=30).raise_for_status()


def replicas(platform: Platform, name: str) -> list[Path]:
    return list((platform.state / "fleets" / name).glob("*/*/replicas/*"))


def asleep(platform: Platform, name: str) -> None:
    wait_until(lambda: not replicas(platform, name), f"nothing of {name} runs")


def invoke(platform: Platform, name: str, body: str = "0.1,0.2,0.3,0.4") -> httpx.Response:
    headers = {"Content-Type": "text/csv"}
    return httpx.post(f"{platform.url}/endpoints/{name}/invocations", content=body, headers=headers, timeout=70)


@pytest.fixture(scope="module")
def fraud(platform: Platform, scene: Scene, models: tuple[str, str]) -> str:
    deploy(platform, "fraud", {"image": "tidegate/xgboost", "data": models[0]})
    assert scene.settled("fraud")["EndpointStatus"] == "InService"
    wait_until(lambda: list(platform.state.glob("fleets/fraud/*/*/model.forest")), "the trees are kept")
    return "fraud"


def test_at_zero_nothing_runs_and_a_request_is_held_and_answered(
    platform: Platform, scene: Scene, fraud: str
) -> None:
    first = scene.invoke(fraud, ROW)["Body"].read()
    for _ in range(2):
        asleep(platform, fraud)
        assert scene.describe(fraud)["EndpointStatus"] == "InService"
        assert scene.invoke(fraud, ROW)["Body"].read() == first


def test_the_log_says_where_a_cold_start_went(platform: Platform, fraud: str) -> None:
    asleep(platform, fraud)
    assert invoke(platform, fraud).status_code == 200

    def said() -> bool:
        logs = (platform.state / "logs" / fraud).rglob("*.log")
        return any("cold start of" in log.read_text() and "noticed" in log.read_text() for log in logs)

    wait_until(said, "a line about the cold start")


def test_a_burst_at_zero_is_answered_whole(platform: Platform, fraud: str) -> None:
    asleep(platform, fraud)
    with ThreadPoolExecutor(30) as threads:
        found = list(threads.map(lambda _: invoke(platform, fraud).status_code, range(30)))
    assert found == [200] * 30


def test_a_start_and_what_is_billed_are_measured(platform: Platform, scene: Scene, fraud: str) -> None:
    invoke(platform, fraud)
    dimensions = [{"Name": "EndpointName", "Value": fraud}, {"Name": "VariantName", "Value": "AllTraffic"}]

    def total(metric: str) -> float:
        now = datetime.now(UTC)
        page = scene.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=dimensions,
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
            Period=3600,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in page["Datapoints"]))

    for metric in ("ModelSetupTime", "BilledGBSeconds"):
        wait_until(lambda metric=metric: total(metric) > 0, metric)  # type: ignore[misc]


def test_a_controller_that_is_killed_finds_the_request_waiting(platform: Platform, fraud: str) -> None:
    asleep(platform, fraud)
    platform.kill_controller()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(invoke, platform, fraud)
        platform.start()
        assert asked.result().status_code == 200


def test_the_nursery_may_be_killed(platform: Platform, scene: Scene, fraud: str, models: tuple[str, str]) -> None:
    deploy(platform, "forked", {"image": "tidegate/xgboost", "data": models[0]}, idle_after="20s")
    assert scene.settled("forked")["EndpointStatus"] == "InService"
    assert invoke(platform, "forked").status_code == 200
    asleep(platform, fraud)  # what a nursery has just begun to fork would end with it
    [nursery] = [process for process in platform.processes() if leads(process)]
    before = {path.name for path in replicas(platform, "forked")}
    nursery.kill()
    assert invoke(platform, "forked").status_code == 200
    assert {path.name for path in replicas(platform, "forked")} == before, "its children live on"
    assert invoke(platform, fraud).status_code == 200, "and others come"
    scene.sagemaker.delete_endpoint(EndpointName="forked")


def is_of_fork_server(process: psutil.Process) -> bool:
    """Whether it was forked; the fork server itself does not work in the folder of a replica."""
    return "tidegate.serving.process.fork_server" in process.cmdline() and "replicas" in process.cwd()


def leads(process: psutil.Process) -> bool:
    """Forked workers have the nursery's command line; it alone is the controller's child."""
    try:
        parent = process.parent()
        forks = "tidegate.serving.process.fork_server" in process.cmdline()
        return forks and parent is not None and "tidegate.cli.controller" in parent.cmdline()
    except psutil.NoSuchProcess:
        return False


def test_a_dedicated_worker_is_forked_where_workers_are_forked_anyway(
    platform: Platform, scene: Scene, fraud: str, models: tuple[str, str]
) -> None:
    def is_forked() -> bool:
        asleep(platform, fraud)
        return invoke(platform, fraud).status_code == 200 and any(
            is_of_fork_server(one) for one in platform.processes()
        )

    wait_until(is_forked, "the fork server is ready")
    scene.create("dedicated", scene.config(models[0]))
    [replica] = replicas(platform, "dedicated")
    worker = psutil.Process(json.loads((replica / "process.json").read_text())["pid"])
    assert "tidegate.serving.process.fork_server" in worker.cmdline()
    assert scene.invoke("dedicated", ROW)["Body"].read() == scene.invoke(fraud, ROW)["Body"].read()
    worker.kill()

    def said() -> bool:
        return f"replica {replica.name} failed: the process ended with signal 9" in platform.log.read_text()

    wait_until(said, "how it died is known")
    wait_until(lambda: invoke(platform, "dedicated").status_code == 200, "another has taken its place")
    scene.sagemaker.delete_endpoint(EndpointName="dedicated")


SLOW = """
import time

def model_fn(model_dir):
    time.sleep(3)

def transform_fn(model, data, content_type, accept):
    return "{word}", "text/csv"
"""


def test_requests_that_wait_for_the_old_version_to_wake_are_answered_by_it(
    platform: Platform, scene: Scene, tmp_path: Path
) -> None:
    """Its routes gave them to it before they were taken away, and the rollout is over long before it is awake."""

    def put(word: str) -> None:
        code = tmp_path / word / "code"
        code.mkdir(parents=True)
        (code / "inference.py").write_text(SLOW.format(word=word))
        with tarfile.open(tmp_path / f"{word}.tar.gz", "w:gz") as archive:
            archive.add(code, "code")
        model = {"image": "tidegate/script", "data": (tmp_path / f"{word}.tar.gz").as_uri()}
        bounds = {"memory": "1GiB", "max_concurrency": 50, "idle_after": "500ms"}
        rollout = {"strategy": "canary", "size": "50%", "wait": "1s"}
        spec = {"endpoint": "woken", "model": model, "serverless": bounds, "rollout": rollout}
        httpx.put(f"{platform.url}/tidegate/v1/deploy", json={"spec": spec}, timeout=30).raise_for_status()

    put("old")
    assert scene.settled("woken")["EndpointStatus"] == "InService"
    asleep(platform, "woken")
    put("new")

    def halfway() -> bool:
        rollout = httpx.get(f"{platform.url}/tidegate/v1/endpoints/woken").json()["rollout"]
        return bool(rollout and rollout["phase"] == "Baking")

    wait_until(halfway, "half of the requests go to the new version", every=0.01)
    with ThreadPoolExecutor(10) as threads:
        found = list(threads.map(lambda _: invoke(platform, "woken", "1"), range(10)))
    assert {answer.status_code for answer in found} == {200}, [answer.text for answer in found]
    assert {answer.text for answer in found} <= {"old", "new"}
    assert scene.settled("woken")["EndpointStatus"] == "InService"
    assert invoke(platform, "woken", "1").text == "new"


def test_a_canary_goes_to_a_version_that_sleeps(
    platform: Platform, scene: Scene, fraud: str, models: tuple[str, str]
) -> None:
    name = scene.model(models[1])
    bounds = {"MemorySizeInMB": 1024, "MaxConcurrency": 20}
    variant = {"VariantName": "AllTraffic", "ModelName": name, "ServerlessConfig": bounds}
    scene.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    asleep(platform, fraud)
    scene.update(fraud, name, canary(50, 1))
    while scene.describe(fraud)["EndpointStatus"] == "Updating":
        assert invoke(platform, fraud).status_code == 200
    after = scene.describe(fraud)
    assert (after["EndpointConfigName"], after["EndpointStatus"]) == (name, "InService")
    assert after["ProductionVariants"][0]["CurrentServerlessConfig"] == bounds


def test_beyond_its_concurrency_requests_wait_and_are_then_throttled(platform: Platform, scene: Scene) -> None:
    model = {"image": STAND_IN, "environment": {"DELAY_MS": 2000}}
    deploy(platform, "slow", model, max_concurrency=2, per_instance=1)
    scene.settled("slow")
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda _: invoke(platform, "slow"), range(6)))
    throttled = [answer for answer in found if answer.status_code == 429]
    assert {answer.status_code for answer in found} == {200, 429}
    assert {answer.headers["x-amzn-ErrorType"] for answer in throttled} == {"ThrottlingException"}
    assert "Rate exceeded" in throttled[0].json()["message"]
    assert len(replicas(platform, "slow")) <= 2


def test_a_model_that_cannot_be_loaded_fails_the_creation(
    platform: Platform, scene: Scene, tmp_path: Path
) -> None:
    (tmp_path / "model.ubj").write_bytes(b"{ no model")
    deploy(platform, "bad", {"image": "tidegate/xgboost", "data": (tmp_path / "model.ubj").as_uri()})
    failed = scene.settled("bad")
    assert failed["EndpointStatus"] == "Failed"
    assert "not a whole XGBoost model" in failed["FailureReason"]


def test_a_model_that_outgrows_its_memory_is_named_as_such(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    deploy(platform, "large", {"image": "tidegate/xgboost", "data": models[0]}, memory="4MiB")
    failed = scene.settled("large")
    assert failed["EndpointStatus"] == "Failed"
    assert "outgrew the memory limit of 4 MiB" in failed["FailureReason"]


CODE = """
def model_fn(model_dir):
    return bytearray({load} * 2**20)

def transform_fn(model, data, content_type, accept):
    return str(len(bytearray(int(data) * 2**20))), "text/csv"
"""


def hungry(folder: Path, load: int) -> str:
    """A model that asks for so many MiB while it is loaded, and for as many as it is sent when it is asked."""
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text(CODE.format(load=load))
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(folder / "code", "code")
    return (folder / "model.tar.gz").as_uri()


def test_a_model_that_asks_for_more_at_once_is_named_as_such(
    platform: Platform, scene: Scene, tmp_path: Path
) -> None:
    deploy(platform, "hungry", {"image": "tidegate/script", "data": hungry(tmp_path, 4000)}, memory="512MiB")
    failed = scene.settled("hungry")
    assert failed["EndpointStatus"] == "Failed"
    assert "outgrew the memory limit of 512 MiB while its model was loaded" in failed["FailureReason"]


def test_an_instance_that_asks_for_more_than_it_may_have_is_replaced(
    platform: Platform, scene: Scene, tmp_path: Path
) -> None:
    deploy(platform, "greedy", {"image": "tidegate/script", "data": hungry(tmp_path, 1)}, memory="512MiB")
    assert scene.settled("greedy")["EndpointStatus"] == "InService"
    assert invoke(platform, "greedy", "2").text == str(2 * 2**20)
    assert invoke(platform, "greedy", "4000").status_code == 424
    wait_until(
        lambda: (
            "outgrew the memory limit of 512 MiB after" in platform.log.read_text()
            or any(
                "outgrew the memory limit of 512 MiB after" in log.read_text()
                for log in (platform.state / "logs" / "greedy").rglob("*.log")
            )
        ),
        "its log says why",
    )
    assert invoke(platform, "greedy", "2").status_code == 200


def onnx_model(path: Path) -> None:
    """The sum of four columns."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4, 1], [1.0] * 4)
    rows = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])
    sums = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "sum", [rows], [sums], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())


def test_a_model_in_onnx_is_forked_too(platform: Platform, scene: Scene, tmp_path: Path) -> None:
    onnx_model(tmp_path / "model.onnx")
    model = {"image": "tidegate/onnx", "data": (tmp_path / "model.onnx").as_uri()}
    deploy(platform, "onnx", model, idle_after="3s")
    assert scene.settled("onnx")["EndpointStatus"] == "InService"
    asleep(platform, "onnx")
    assert float(invoke(platform, "onnx").text) == pytest.approx(1.0)
    [replica] = replicas(platform, "onnx")
    worker = psutil.Process(json.loads((replica / "process.json").read_text())["pid"])
    assert "tidegate.serving.process.fork_server" in worker.cmdline()


def test_a_model_of_pytorch_is_forked_from_a_process_of_its_own(
    platform: Platform, scene: Scene, tmp_path: Path
) -> None:
    """Takes as long as PyTorch is imported twice: by the first instance, and by the process that forks the others."""
    torch = pytest.importorskip("torch")
    sums = torch.nn.Linear(4, 1, bias=False)
    torch.nn.init.ones_(sums.weight)
    torch.jit.save(torch.jit.trace(sums.eval(), torch.zeros(2, 4)), tmp_path / "model.pt")
    model = {"image": "tidegate/pytorch", "data": (tmp_path / "model.pt").as_uri()}
    deploy(platform, "torch", model, idle_after="1s")
    assert scene.settled("torch")["EndpointStatus"] == "InService"

    def is_forked() -> bool:
        asleep(platform, "torch")
        assert float(invoke(platform, "torch").text) == pytest.approx(1.0)
        [replica] = replicas(platform, "torch")
        worker = psutil.Process(json.loads((replica / "process.json").read_text())["pid"])
        line = worker.cmdline()
        return "tidegate.serving.process.fork_server" in line and line[-1] == "pytorch"

    wait_until(is_forked, "the fork server of PyTorch is ready")
    assert not any(process.info["cmdline"][-1:] == ["mlflow"] for process in platform.processes()), (
        "nobody uses it"
    )
    scene.sagemaker.delete_endpoint(EndpointName="torch")
