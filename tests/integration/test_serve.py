"""``serve``: a real process on TCP with a real model, as containers run it."""

import socket
import tarfile
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
import xgboost

from tests.serve_process import RunningServe, Serves, answers, serves
from tests.worker_process import csv, models
from tidegate.domain.fleet import FleetId
from tidegate.host.platform import free_port
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, Listen, ReplicaSpec, encode, read
from tidegate.serving.front.control_pages import STOP_NOTICE

pytestmark = pytest.mark.slow

__all__ = ["models", "serves"]

ROW = (1.0, 0.5, -1.0, 0.25, 2.0)
CSV = {"content-type": "text/csv"}


def expected(model: Path) -> float:
    return float(xgboost.Booster(model_file=model).predict(xgboost.DMatrix(np.array([ROW], np.float32)))[0])


def in_sagemaker(serves: Serves, models: Path, folder: Path, **variables: str) -> RunningServe:
    """A worker in SageMaker's form, whose model is binary.ubj."""
    (folder / "model").mkdir()
    (folder / "model" / "binary.ubj").write_bytes((models / "binary.ubj").read_bytes())
    port = free_port()
    given = {"SM_MODEL_DIR": str(folder / "model"), "SAGEMAKER_BIND_TO_PORT": str(port), **variables}
    return serves.start(port=port, environment=given)


def of_an_endpoint(serves: Serves, folder: Path, data: Path, **changes: object) -> RunningServe:
    """A worker with a start file and ports for predictions and for the platform."""
    listen = Listen(host="127.0.0.1", port=free_port(), control_port=free_port(), drain_notice=1.0)
    one = ContainerSpec(runtime=RuntimeChoice(RuntimeKind.AUTO), model_dir="", data_url=data.as_uri())
    fleet = FleetId("fraud", 3, "Blue")
    spec = ReplicaSpec(
        replica="",
        fleet=fleet,
        config_name="fraud-v3",
        containers=(one,),
        socket="",
        listen=listen,
        **changes,  # type: ignore[arg-type]
    )
    file = folder / "start.json"
    file.write_bytes(encode(spec))
    return serves.start(str(file), port=listen.port, environment={"TIDEGATE_REPLICA": "fraud-3-x7"})


def control(folder: Path) -> str:
    """Address of the control port of the worker with this start file."""
    listen = read(folder / "start.json").listen
    assert listen is not None
    return f"http://127.0.0.1:{listen.control_port}"


def packed(model: Path, folder: Path) -> Path:
    archive = folder / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as files:
        files.add(model, model.name)
    return archive


def test_sagemakers_contract_is_honoured(serves: Serves, models: Path, tmp_path: Path) -> None:
    serve = in_sagemaker(serves, models, tmp_path)
    serve.ready()

    answer = httpx.post(f"{serve.address}/invocations", content=csv(*ROW), headers=CSV)
    assert answer.status_code == 200
    assert float(answer.text) == pytest.approx(expected(models / "binary.ubj"), rel=1e-6)
    assert "x-amzn-errortype" not in answer.headers
    serve.terminate()
    assert serve.wait() == 0


def test_errors_of_a_model_are_sagemakers_to_wrap(serves: Serves, models: Path, tmp_path: Path) -> None:
    serve = in_sagemaker(serves, models, tmp_path)
    serve.ready()

    answer = httpx.post(f"{serve.address}/invocations", content=b"a,b", headers=CSV)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/plain"
    assert "ErrorCode" not in answer.text


def test_model_is_used_where_it_is(serves: Serves, models: Path, tmp_path: Path) -> None:
    serve = in_sagemaker(serves, models, tmp_path)
    serve.ready()

    assert (serve.work / "model1").is_symlink()
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["binary.ubj"]


def test_start_file_has_its_model_data_fetched_and_unpacked(serves: Serves, models: Path, tmp_path: Path) -> None:
    serve = of_an_endpoint(serves, tmp_path, packed(models / "binary.ubj", tmp_path))
    serve.ready()

    answer = httpx.post(f"{serve.address}/endpoints/fraud/invocations", content=csv(*ROW), headers=CSV)
    assert float(answer.text) == pytest.approx(expected(models / "binary.ubj"), rel=1e-6)
    assert answer.headers["x-tidegate-config"] == "fraud-v3"
    assert httpx.post(f"{serve.address}/endpoints/other/invocations", content=b"1", headers=CSV).status_code == 400
    assert (serve.work / "model1" / "binary.ubj").is_file()


@pytest.mark.parametrize("path", ["/_tidegate/stats", "/_tidegate/models", "/live"])
def test_the_platforms_pages_are_not_on_the_predictions_port(
    serves: Serves, models: Path, tmp_path: Path, path: str
) -> None:
    serve = of_an_endpoint(serves, tmp_path, models / "binary.ubj")
    serve.ready()

    assert httpx.get(serve.address + path).status_code == 404
    assert httpx.get(control(tmp_path) + path).status_code == 200


def test_control_port_takes_no_predictions(serves: Serves, models: Path, tmp_path: Path) -> None:
    serve = of_an_endpoint(serves, tmp_path, models / "binary.ubj")
    serve.ready()

    assert httpx.post(f"{control(tmp_path)}/invocations", headers=CSV).status_code == 404
    assert httpx.post(f"{control(tmp_path)}/invocations", content=b"1", headers=CSV).status_code == 413


@pytest.mark.parametrize("path", ["/drained", "//drained"], ids=["kubelet 1.25", "older kubelet"])
def test_a_container_beside_a_worker_is_held_until_the_worker_has_no_requests(
    serves: Serves, models: Path, tmp_path: Path, path: str
) -> None:
    serve = of_an_endpoint(serves, tmp_path, models / "binary.ubj")
    serve.ready()
    listen = read(tmp_path / "start.json").listen
    assert listen is not None
    place = ("127.0.0.1", listen.control_port)
    with httpx.Client() as client, socket.create_connection(place, timeout=60) as hook:
        assert client.post(f"{serve.address}/invocations", content=csv(*ROW), headers=CSV).status_code == 200
        hook.sendall(f"GET {path} HTTP/1.1\r\nHost: worker\r\n\r\n".encode())
        serve.terminate()
        assert client.post(f"{serve.address}/invocations", content=csv(*ROW), headers=CSV).status_code == 200
        assert hook.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert not answers(f"{serve.address}/ping")
    assert serve.wait() == 0


def test_a_container_that_is_restarted_alone_is_not_held_for_long(
    serves: Serves, models: Path, tmp_path: Path
) -> None:
    serve = of_an_endpoint(serves, tmp_path, models / "binary.ubj")
    serve.ready()
    assert httpx.get(f"{control(tmp_path)}/drained", timeout=STOP_NOTICE + 30).status_code == 200
    assert httpx.get(f"{control(tmp_path)}/ping").status_code == 200, "it serves on"


def test_statistics_name_the_replica_and_count(serves: Serves, models: Path, tmp_path: Path) -> None:
    serve = of_an_endpoint(serves, tmp_path, models / "binary.ubj")
    serve.ready()
    for _ in range(3):
        assert httpx.post(f"{serve.address}/invocations", content=csv(*ROW), headers=CSV).status_code == 200

    page = httpx.get(f"{control(tmp_path)}/_tidegate/stats").json()
    assert (page["replica"], page["answered"]) == ("fraud-3-x7", 3)


def test_last_counts_can_be_read_after_the_last_answer(serves: Serves, models: Path, tmp_path: Path) -> None:
    serve = of_an_endpoint(serves, tmp_path, models / "binary.ubj")
    serve.ready()
    assert httpx.get(f"{control(tmp_path)}/_tidegate/stats").json()["answered"] == 0
    assert httpx.post(f"{serve.address}/invocations", content=csv(*ROW), headers=CSV).status_code == 200
    serve.terminate()
    while accepts(serve.port):
        pass

    page = httpx.get(f"{control(tmp_path)}/_tidegate/stats").json()
    assert sum(second["invocations"] for second in page["seconds"]) == 1
    assert serve.wait() == 0


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def test_no_request_breaks_off_while_a_worker_ends(serves: Serves, models: Path, tmp_path: Path) -> None:
    """Whoever routes by address hears late that a worker ends: until it refuses connections, it answers."""
    serve = of_an_endpoint(serves, tmp_path, models / "binary.ubj")
    serve.ready()
    answered, broken = [], []

    def ask() -> None:
        while True:
            try:
                answer = httpx.post(f"{serve.address}/invocations", content=csv(*ROW), headers=CSV, timeout=30)
            except httpx.ConnectError:
                return  # refused: it goes to another worker
            except httpx.TransportError as error:
                broken.append(repr(error))
                return
            answered.append(answer.status_code)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    while len(answered) < 20:
        pass
    serve.terminate()
    while answers(f"{serve.address}/ping"):
        pass
    draining = len(answered)
    for client in clients:
        client.join()

    assert broken == []
    assert set(answered) == {200}
    assert len(answered) > draining
    assert serve.wait() == 0


def test_missing_model_is_told(serves: Serves, tmp_path: Path) -> None:
    serve = serves.start(port=0, environment={"SM_MODEL_DIR": str(tmp_path / "nowhere")})

    assert serve.wait() == 2
    assert f"there is no model in {tmp_path / 'nowhere'}" in serve.log


def test_unusable_model_ends_the_worker_with_its_reason(serves: Serves, models: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.ubj").write_bytes(b"not a model")
    serve = of_an_endpoint(serves, tmp_path, tmp_path / "broken.ubj")

    assert serve.wait() == 3
    assert b'"permanent":true' in (serve.work / "failure.json").read_bytes()


def test_restarted_container_starts_again(serves: Serves, models: Path, tmp_path: Path) -> None:
    first = in_sagemaker(serves, models, tmp_path)
    first.ready()
    first.process.kill()
    first.wait()
    again = serves.start(
        port=first.port,
        environment={
            "TIDEGATE_WORK": str(first.work),
            "SM_MODEL_DIR": str(tmp_path / "model"),
            "SAGEMAKER_BIND_TO_PORT": str(first.port),
        },
    )
    again.ready()
