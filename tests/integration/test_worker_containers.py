"""Several containers in one real worker: pipelines with and without programs, models with their explainer."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import skops.io
import xgboost
from sklearn.preprocessing import StandardScaler

from tests.worker_process import RunningWorker, Workers, exists, workers
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, Serving

pytestmark = pytest.mark.slow

__all__ = ["workers"]

NAMES = ["grade", "years", "city"]
ROWS = np.random.default_rng(5).normal(loc=[3, 10, 50], scale=[1, 6, 20], size=(300, 3)).astype(np.float32)
TARGET = ROWS @ np.array([9, 2, 0.1], np.float32)
ASKED = np.array([[3, 12, 40], [1.5, 0, 99]], np.float32)
BODY = b"3,12,40\n1.5,0,99"
CSV, JSON = {"content-type": "text/csv"}, {"content-type": "application/json"}
TARGET_HEADER = "x-amzn-sagemaker-target-container-hostname"

DECISION = """
import http.server, json, os, sys
LIMIT = float(os.environ.get("LIMIT", "40"))

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"exit":
            os._exit(9)
        if self.headers["Content-Type"] != "application/json":
            return self.answer(415, b"only JSON here")
        values = json.loads(body)["predictions"]
        told = {"high": [value > LIMIT for value in values], "values": values, "pid": os.getpid(),
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "ports": [os.environ["SAGEMAKER_BIND_TO_PORT"], os.environ["SAGEMAKER_SAFE_PORT_RANGE"]]}
        if "FORWARD" in os.environ:
            told = {"predictions": values, **told}
        self.answer(200, json.dumps(told).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scaler.skops, and model.ubj on what the scaler gives."""
    folder = tmp_path_factory.mktemp("pipeline")
    scaler = StandardScaler().fit(ROWS)
    skops.io.dump(scaler, folder / "scaler.skops")
    matrix = xgboost.DMatrix(scaler.transform(ROWS), TARGET, feature_names=NAMES)
    xgboost.train({"max_depth": 3, "nthread": 1}, matrix, 20).save_model(folder / "model.ubj")
    return folder


def expected(data: Path) -> list[float]:
    booster = xgboost.Booster(model_file=data / "model.ubj")
    scaled = skops.io.load(data / "scaler.skops").transform(ASKED)
    return [float(value) for value in booster.inplace_predict(scaled.astype(np.float32), validate_features=False)]


class Stages:
    """Makes the containers of one worker."""

    def __init__(self, workers: Workers, data: Path) -> None:
        self.folder = workers.folder / "stages"
        self.folder.mkdir()
        self.data = data
        self.made: list[ContainerSpec] = []

    def add(
        self,
        name: str,
        runtime: RuntimeChoice,
        file: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> "Stages":
        self.made.append(
            ContainerSpec(
                name=name,
                runtime=runtime,
                model_dir=str(self.folder / str(len(self.made))),
                data_url=(self.data / file).as_uri() if file else None,
                environment=dict(environment or {}),
            )
        )
        return self

    def scaler(self, **environment: str) -> "Stages":
        return self.add("scaler", RuntimeChoice(RuntimeKind.SKLEARN), "scaler.skops", environment)

    def trees(self, **environment: str) -> "Stages":
        return self.add("trees", RuntimeChoice(RuntimeKind.XGBOOST), "model.ubj", environment)

    def program(self, name: str, **environment: str) -> "Stages":
        path = self.folder / f"{name}.py"
        path.write_text(DECISION)
        command = (sys.executable, str(path))
        return self.add(name, RuntimeChoice(RuntimeKind.PROGRAM, command), None, environment)

    def explainer(self, file: str = "model.ubj") -> "Stages":
        return self.add("explainer", RuntimeChoice(RuntimeKind.SHAP), file)

    def serial(self, workers: Workers) -> RunningWorker:
        return workers.several(tuple(self.made), serving=Serving.SERIAL)

    def direct(self, workers: Workers) -> RunningWorker:
        return workers.several(tuple(self.made), serving=Serving.DIRECT)


@pytest.fixture
def stages(workers: Workers, data: Path) -> Stages:
    return Stages(workers, data)


async def series(worker: RunningWorker) -> dict[tuple[str, str], tuple[int, float]]:
    """(container, metric) -> (count, total) of all seconds that are kept, read once all are shown."""
    while True:
        page = (await worker.ask("/_tidegate/stats")).json()
        seconds: Any = page["seconds"]
        if seconds and float(page["now"]) >= seconds[-1]["second"] + 1:  # type: ignore[arg-type]
            break
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for each in (one for second in seconds for one in second["series"]):
        if "ContainerName" not in each["dimensions"]:
            continue  # what is compared of predictions, of the whole replica
        key = (each["dimensions"]["ContainerName"], each["name"])
        count, total = found.get(key, (0, 0.0))
        found[key] = (count + each["spread"]["count"], total + each["spread"]["total"])
    return found


def test_a_pipeline_of_built_in_runtimes_answers_in_the_clients_form(
    workers: Workers, stages: Stages, data: Path
) -> None:
    worker = stages.scaler().trees().serial(workers)

    async def test() -> None:
        await worker.ready()
        lines = await worker.ask(body=BODY, headers=CSV)
        assert lines.headers["content-type"] == "text/csv"
        assert [float(line) for line in lines.body.split()] == pytest.approx(expected(data), rel=1e-6)
        plain = await worker.ask(body=BODY, headers={**CSV, "accept": "application/json"})
        assert plain.json() == {"predictions": pytest.approx(expected(data), rel=1e-6)}

    workers.run(test())


def test_a_stage_may_say_what_it_answers_in(workers: Workers, stages: Stages, data: Path) -> None:
    accept = {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/json"}
    worker = stages.scaler(**accept).trees().serial(workers)

    async def test() -> None:
        await worker.ready()
        lines = await worker.ask(body=BODY, headers={**CSV, "accept": "text/csv"})
        assert [float(line) for line in lines.body.split()] == pytest.approx(expected(data), rel=1e-6)

    workers.run(test())


def test_programs_are_stages_too_each_on_its_own_port(workers: Workers, stages: Stages, data: Path) -> None:
    worker = stages.scaler().trees().program("first", FORWARD="1").program("second").serial(workers)

    async def test() -> None:
        await worker.ready()
        sent = {**CSV, "accept": "text/anything", "x-amzn-sagemaker-custom-attributes": "a=1", "x-secret": "no"}
        answer = await worker.ask(body=BODY, headers=sent)
        said: Any = answer.json()
        values = expected(data)
        assert said["values"] == pytest.approx(values, rel=1e-6)
        assert said["high"] == [value > 40 for value in values]
        assert said["headers"]["accept"] == "text/anything"
        assert said["headers"]["x-amzn-sagemaker-custom-attributes"] == "a=1"
        assert "x-secret" not in said["headers"]
        port, (low, high) = int(said["ports"][0]), map(int, said["ports"][1].split("-"))
        assert high - low == 15 and not low <= port <= high

    workers.run(test())
    worker.terminate()
    assert worker.wait() == 0


def test_errors_and_metrics_name_the_stage(workers: Workers, stages: Stages) -> None:
    worker = stages.scaler().trees().program("decision").serial(workers)

    async def test() -> None:
        await worker.ready()
        assert (await worker.ask(body=BODY, headers=CSV)).status == 200
        first = await worker.ask(body=b"1,2", headers=CSV)
        assert first.status == 424
        said = str(first.json()["Message"])
        assert said.startswith('Received client error (400) from scaler with message "Row 1 has 2 columns')
        counted = await series(worker)
        assert {
            key: (count, total) for key, (count, total) in counted.items() if key[1] != "ContainerLatency"
        } == {
            ("scaler", "Invocations"): (2, 2),
            ("scaler", "Invocation4XXErrors"): (2, 1),
            ("scaler", "Invocation5XXErrors"): (2, 0),
            ("trees", "Invocations"): (1, 1),
            ("trees", "Invocation4XXErrors"): (1, 0),
            ("trees", "Invocation5XXErrors"): (1, 0),
            ("decision", "Invocations"): (1, 1),
            ("decision", "Invocation4XXErrors"): (1, 0),
            ("decision", "Invocation5XXErrors"): (1, 0),
        }
        latencies = {key[0]: value for key, value in counted.items() if key[1] == "ContainerLatency"}
        assert {name: count for name, (count, _) in latencies.items()} == {"scaler": 2, "trees": 1, "decision": 1}
        assert all(total > 0 for _, total in latencies.values())

    workers.run(test())


def test_a_program_stage_that_dies_ends_the_replica_and_is_named(workers: Workers, stages: Stages) -> None:
    worker = stages.program("first").program("second").serial(workers)

    async def test() -> None:
        await worker.ready()
        told: Any = await worker.ask(body=b'{"predictions": [1]}', headers=JSON)
        assert told.status == 424, "the second stage is not given what it takes"
        assert "from second" in str(told.json()["Message"])
        answer = await worker.ask(body=b"exit", headers=JSON)
        assert "from first" in str(answer.json()["Message"])

    workers.run(test())
    assert worker.wait() == 3
    assert "of container first ended with exit code 9" in worker.failure.message


def test_one_that_cannot_load_fails_the_replica_and_ends_the_others(
    workers: Workers, stages: Stages, data: Path
) -> None:
    (stages.folder / "broken.ubj").write_bytes((data / "model.ubj").read_bytes()[:-50])
    stages.program("decision").data = stages.folder
    worker = stages.add("trees", RuntimeChoice(RuntimeKind.XGBOOST), "broken.ubj").direct(workers)
    assert worker.wait() == 3
    assert worker.failure.message.startswith("container trees: broken.ubj is not a whole XGBoost model")
    assert worker.failure.permanent


def test_missing_data_names_the_container(workers: Workers, stages: Stages) -> None:
    worker = stages.scaler().add("trees", RuntimeChoice(RuntimeKind.XGBOOST), "no.ubj").serial(workers)
    assert worker.wait() == 3
    assert worker.failure.message.startswith("container trees: file://")
    assert worker.failure.message.endswith("no.ubj: there is no such file")


def test_a_model_and_its_explainer_side_by_side(workers: Workers, stages: Stages) -> None:
    worker = stages.trees().explainer().direct(workers)

    async def test() -> None:
        await worker.ready()
        to = {**JSON, TARGET_HEADER: "trees"}
        predicted: Any = (await worker.ask(body=b"[[0.5, -1, 2]]", headers=to)).json()
        [value] = predicted["predictions"]
        answer = await worker.ask(body=b"[[0.5, -1, 2]]", headers={**JSON, TARGET_HEADER: "explainer"})
        [explanation] = msgspec.json.decode(answer.body)["explanations"]
        assert list(explanation["contributions"]) == NAMES
        total = explanation["base_value"] + sum(explanation["contributions"].values())
        assert total == pytest.approx(value, rel=1e-5)
        assert explanation["prediction"] == pytest.approx(value, rel=1e-6)
        wrong = await worker.ask(body=b"[[1, 2]]", headers={**JSON, TARGET_HEADER: "explainer"})
        assert "Received client error (400) from explainer" in str(wrong.json()["Message"])
        for name, reason in (("", "is required"), ("nobody", "'nobody' is not a container")):
            refused = await worker.ask(
                body=b"[[1, 2, 3]]", headers={**JSON, TARGET_HEADER: name} if name else JSON
            )
            assert (refused.status, refused.headers["x-amzn-errortype"]) == (400, "ValidationError")
            assert reason in str(refused.json()["Message"])
        counted = await series(worker)
        assert counted["trees", "Invocations"] == (1, 1)
        assert counted["explainer", "Invocation4XXErrors"] == (2, 1)

    workers.run(test())


@pytest.mark.parametrize("serving", ["single", "serial"])
def test_a_name_where_there_is_none_to_choose_is_refused(workers: Workers, stages: Stages, serving: str) -> None:
    stages.scaler().trees()
    made = stages.made[1:] if serving == "single" else stages.made
    worker = workers.several(tuple(made), serving=Serving(serving))

    async def test() -> None:
        await worker.ready()
        refused = await worker.ask(body=BODY, headers={**CSV, TARGET_HEADER: "trees"})
        assert (refused.status, refused.headers["x-amzn-errortype"]) == (400, "ValidationError")
        assert "is not a multi-container endpoint in Direct mode" in str(refused.json()["Message"])

    workers.run(test())


def test_programs_die_with_a_worker_that_is_killed(workers: Workers, stages: Stages) -> None:
    worker = stages.program("first", FORWARD="1").program("second").direct(workers)

    async def test() -> list[int]:
        await worker.ready()
        pids = []
        for name in ("first", "second"):
            sent = {**JSON, TARGET_HEADER: name}
            answer = await worker.ask(body=b'{"predictions": [1]}', headers=sent)
            pids.append(int(str(answer.json()["pid"])))
        return pids

    async def main() -> None:
        pids = await test()
        assert len(set(pids)) == 2
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.wait()
        while any(exists(pid) for pid in pids):
            pass

    workers.run(main())
