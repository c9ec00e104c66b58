"""A model owner's own code in real workers: what works, every way in which it goes wrong, and who takes over."""

import asyncio
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import xgboost
from sklearn.linear_model import LinearRegression

from tests.unit.serving.runtimes.user_code_harness import TRUSTED, folder
from tests.unit.targets.local.local_harness import FLEET, LocalTargetHarness, run, spec, stand, until
from tests.worker_process import Response, RunningWorker, Workers, request, workers
from tidegate.domain.fleet import FleetSpec
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import timed_out
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, encode
from tidegate.targets.local import replica as local_replica
from tidegate.targets.local.target import LocalTarget

pytestmark = pytest.mark.slow

__all__ = ["workers"]

JSON = {"content-type": "application/json"}
PLAIN = """
import time, sys, os

def model_fn(model_dir):
    print("the model is loaded")
    return 3

def predict_fn(data, model):
    if data.ndim == 0:
        match int(data):
            case -1: time.sleep(3600)
            case -2: sys.exit(7)
            case -3: os._exit(9)
            case -4: raise ValueError("too low")
    return data * model
"""


def start(
    workers: Workers, model: Path, kind: RuntimeKind = RuntimeKind.SCRIPT, **changes: object
) -> RunningWorker:
    given = changes.pop("environment", {})
    assert isinstance(given, dict)
    return workers.start(RuntimeChoice(kind), f"{model.as_uri()}/", environment={**TRUSTED, **given}, **changes)


async def ask(worker: RunningWorker, body: bytes) -> Response:
    return await worker.ask(body=body, headers=JSON)


def test_a_script_answers_and_one_bad_request_fails_alone(workers: Workers, tmp_path: Path) -> None:
    worker = start(workers, folder(tmp_path, inference=PLAIN))

    async def test() -> None:
        await worker.ready()
        bodies = (b"[1, 2]", b"-4", b"-2", b"{", b"[3]")
        answers = await asyncio.gather(*(ask(worker, body) for body in bodies))
        assert [answer.status for answer in answers] == [200, 424, 424, 424, 200]
        assert answers[0].body == b"[3, 6]"
        told = [(a.json()["OriginalStatusCode"], a.json()["OriginalMessage"]) for a in answers[1:4]]
        assert told[:2] == [(500, "ValueError: too low"), (500, "SystemExit: 7")]
        assert told[2][0] == 400
        assert "the model is loaded" in worker.log, "what is printed is in the log at once"

    workers.run(test())


def test_a_function_that_hangs_fails_its_request_and_then_the_instance(workers: Workers, tmp_path: Path) -> None:
    two = {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}
    worker = start(workers, folder(tmp_path, inference=PLAIN), environment=two, invocation_timeout=0.5)

    async def test() -> None:
        await worker.ready()
        for healthy in (200, 503):
            answer = await ask(worker, b"-1")
            assert (answer.status, answer.json()["OriginalStatusCode"]) == (424, 0)
            assert answer.json()["OriginalMessage"] == timed_out("primary")
            assert (await worker.ask("/ping")).status == healthy
        assert (await ask(worker, b"[1]")).status == 424

    workers.run(test())
    worker.terminate()
    assert worker.wait() == 0, "a stuck thread does not keep it"


AT_ONE = "(code/inference.py, line 1)"
PREDICT = "def predict_fn(d, m): pass\n"
FAULTS = {
    "never loads": (
        "import threading\ndef model_fn(d): threading.Event().wait()\n" + PREDICT,
        "the model did not load within 1 s",
        True,
    ),
    "missing module": (
        "import not_there",
        f"code/inference.py needs the module not_there, which is not installed {AT_ONE}",
        True,
    ),
    "syntax": (
        "x = 1\ndef model_fn(d)\n    pass",
        "code/inference.py cannot be read: code/inference.py, line 2: expected ':'",
        True,
    ),
    "exit at import": ("raise SystemExit(2)", f"code/inference.py called sys.exit(2) {AT_ONE}", True),
    "exit in model_fn": (
        "def model_fn(d): exit(2)\n" + PREDICT,
        f"model_fn of code/inference.py called sys.exit(2) {AT_ONE}",
        True,
    ),
    "no weights": (
        "def model_fn(d): return open('/nowhere/w')\n" + PREDICT,
        f"model_fn of code/inference.py failed {AT_ONE}: FileNotFoundError: [Errno 2] No such file or directory:"
        " '/nowhere/w'",
        True,
    ),
    "may pass": (
        "def model_fn(d): raise TimeoutError('feature store')\n" + PREDICT,
        f"model_fn of code/inference.py failed {AT_ONE}: TimeoutError: feature store",
        False,
    ),
}


@pytest.mark.parametrize(("text", "message", "permanent"), FAULTS.values(), ids=FAULTS)
def test_a_script_that_does_not_load(
    workers: Workers, tmp_path: Path, text: str, message: str, permanent: bool
) -> None:
    limit = 1.0 if "did not load" in message else 60.0
    worker = start(workers, folder(tmp_path, inference=text), startup_timeout=limit)
    assert worker.wait() == 3
    assert (worker.failure.message, worker.failure.permanent) == (message, permanent)


def test_requirements_that_are_not_met_are_named(workers: Workers, tmp_path: Path) -> None:
    model = folder(tmp_path, inference=PLAIN)
    (model / "code" / "requirements.txt").write_text("numpy\nnot-there==1.0\n")
    worker = start(workers, model)
    assert worker.wait() == 3
    assert worker.failure.message.startswith("requirements.txt is not met: not-there==1.0 is not installed. ")


@pytest.mark.parametrize("kind", [RuntimeKind.SCRIPT, RuntimeKind.SKLEARN, RuntimeKind.XGBOOST, RuntimeKind.AUTO])
def test_without_trust_no_code_runs(workers: Workers, tmp_path: Path, kind: RuntimeKind) -> None:
    model = folder(tmp_path, inference=f"open({str(tmp_path / 'ran')!r}, 'w')")
    worker = start(workers, model, kind, environment={"TIDEGATE_TRUST": "pickle"})
    assert worker.wait() == 3
    assert "code/inference.py is code" in worker.failure.message
    assert "start the server with TIDEGATE_TRUST=code" in worker.failure.message
    assert not (tmp_path / "ran").exists()


ROWS = np.array([[1, 2], [3, 4], [0, 1]], np.float32)


def test_a_scikit_learn_script_needs_model_fn_only(workers: Workers, tmp_path: Path) -> None:
    text = "import joblib\ndef model_fn(d): return joblib.load(d + '/model.joblib')"
    model = folder(tmp_path, inference=text)
    estimator = LinearRegression().fit(ROWS, ROWS @ [1, 10])
    joblib.dump(estimator, model / "model.joblib")
    worker = start(workers, model, RuntimeKind.SKLEARN)

    async def test() -> None:
        await worker.ready()
        answer = await worker.ask(body=b"2,3\n1,1", headers={"content-type": "text/csv"})
        expected = estimator.predict([[2, 3], [1, 1]])
        assert np.allclose(np.array(answer.body.strip(b"[]").split(b","), float), expected, atol=1e-4)
        refused = await worker.ask(body=b"a,b", headers={"content-type": "text/csv"})
        assert refused.json()["OriginalStatusCode"] == 400

    workers.run(test())


def test_an_xgboost_script_needs_model_fn_only(workers: Workers, tmp_path: Path) -> None:
    text = (
        "import xgboost\ndef model_fn(d):\n    booster = xgboost.Booster()\n"
        "    booster.load_model(d + '/model.ubj')\n    return booster"
    )
    model = folder(tmp_path, inference=text)
    booster = xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(ROWS, [1, 2, 3]), 3)
    booster.save_model(model / "model.ubj")
    expected = booster.predict(xgboost.DMatrix(ROWS))
    worker = start(workers, model, RuntimeKind.XGBOOST)

    async def test() -> None:
        await worker.ready()
        answer = await ask(worker, b"[[1, 2], [3, 4], [0, 1]]")
        assert np.allclose(np.array(answer.body.strip(b"[]").split(b","), float), expected)

    workers.run(test())


def test_auto_finds_the_runtime(workers: Workers, tmp_path: Path) -> None:
    model = folder(tmp_path)
    booster = xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(ROWS, [1, 2, 3]), 3)
    booster.save_model(model / "model.ubj")
    good = start(workers, model, RuntimeKind.AUTO)

    async def test() -> None:
        await good.ready()
        assert (await ask(good, b"[[1, 2]]")).json().keys() == {"predictions"}

    workers.run(test())
    (model / "model.onnx").touch()
    bad = start(workers, model, RuntimeKind.AUTO)
    assert bad.wait() == 3
    assert "model.onnx (onnx), model.ubj (xgboost); name the image" in bad.failure.message


def test_a_python_class(workers: Workers, tmp_path: Path) -> None:
    text = (
        "class Doubler:\n    def __init__(self, model_dir): self.by = 2\n"
        "    def predict(self, values: list[float]): return {'doubled': [self.by * v for v in values]}"
    )
    environment = {"MODEL_HANDLER": "doubling:Doubler"}
    worker = start(workers, folder(tmp_path, doubling=text), RuntimeKind.PYTHON, environment=environment)

    async def test() -> None:
        await worker.ready()
        assert (await ask(worker, b"[1, 2.5]")).body == b'{"doubled":[2.0,5.0]}'
        refused = await ask(worker, b'["a"]')
        told = "The JSON cannot be used: a value at [0] is a text, and must be a number."
        assert refused.json()["OriginalMessage"] == told

    workers.run(test())


STREAMS = """
import os, time

def model_fn(model_dir):
    return os.environ["GATE"]

def transform_fn(model, data, content_type, accept):
    try:
        yield "one "
        while data == "wait" and not os.path.exists(model):
            time.sleep(0.01)
        yield "two"
    finally:
        open(model + ".closed", "w").close()
"""


def test_a_generator_streams_and_is_closed_when_the_client_leaves(workers: Workers, tmp_path: Path) -> None:
    gate, closed = tmp_path / "gate", tmp_path / "gate.closed"
    worker = start(workers, folder(tmp_path, inference=STREAMS), environment={"GATE": str(gate)})
    path = "/endpoints/fraud/invocations-response-stream"

    async def test() -> None:
        await worker.ready()
        whole = await ask(worker, b"now")
        assert (whole.status, whole.body) == (200, b"one two"), "gathered for who does not ask for a stream"
        connection = await worker.connect()
        connection.send(request(path, b"wait", JSON))
        await connection.reader.readuntil(b"one ")
        gate.touch()
        await connection.reader.readuntil(b"two")
        gate.unlink()
        closed.unlink()
        connection = await worker.connect()
        connection.send(request(path, b"wait", JSON))
        await connection.reader.readuntil(b"one ")
        connection.writer.close()
        gate.touch()
        await until(closed.exists, "the generator is closed")
        assert (await ask(worker, b"now")).body == b"one two"

    workers.run(test())


# --- under the supervisor ---


class Supervised:
    """A fleet of one script under a real target."""

    def __init__(self, here: LocalTargetHarness, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.here = here
        self.model = model
        monkeypatch.setattr(here, "describe", self.describe)

    def describe(
        self, fleet: FleetSpec, replica: str, waking: object = None, devices: tuple[str, ...] = ()
    ) -> bytes:
        container = ContainerSpec(
            runtime=RuntimeChoice(RuntimeKind.SCRIPT),
            model_dir=str(self.here.folders.model(fleet.id)),
            data_url=f"{self.model.as_uri()}/",
            environment=TRUSTED,
        )
        return encode(
            ReplicaSpec(
                replica=replica,
                fleet=fleet.id,
                config_name=fleet.config_name,
                containers=(container,),
                socket=str(self.here.folders.socket(replica)),
                invocation_timeout=0.5,
                drain_timeout=0.5,
            )
        )

    async def serving(self, but: str = "") -> Path:
        """The socket of a replica that serves."""

        def found() -> dict[str, Path]:
            servers = self.here.router.fleets.get(FLEET, {})
            return {name: socket for name, socket in servers.items() if name != but and isinstance(socket, Path)}

        await until(found, "a replica serves", 60)
        [socket] = found().values()
        return socket

    @staticmethod
    async def ask(socket: Path, body: bytes) -> bytes:
        """The whole answer; nothing when the worker dies."""
        reader, writer = await asyncio.open_unix_connection(socket)
        writer.write(
            b"POST /invocations HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


def test_a_script_that_dies_on_its_third_request_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "import os\nleft = [2]\ndef model_fn(d): return None\n"
        "def predict_fn(data, model):\n    if not left[0]: os._exit(9)\n    left[0] -= 1\n    return left[0]"
    )
    with stand() as here:
        fleet = Supervised(here, folder(tmp_path, inference=text), monkeypatch)

        async def story() -> None:
            target = here.target()
            await target.ensure_fleet(spec(1), 1)
            first = await fleet.serving()
            answers = [await fleet.ask(first, b"1") for _ in range(3)]
            assert [answer[-1:] for answer in answers] == [b"1", b"0", b""]
            second = await fleet.serving(but=first.stem)
            assert (await fleet.ask(second, b"1"))[-1:] == b"1"
            await target.drain_all()

        run(story())


def test_a_script_that_hangs_gives_its_place_to_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_replica, "PING_EVERY", 0.1)
    with stand() as here:
        fleet = Supervised(here, folder(tmp_path, inference=PLAIN), monkeypatch)

        async def story() -> None:
            target = LocalTarget(replace(here.context(), patience=1.0, drain_timeout=1))
            target.start()
            await target.ensure_fleet(spec(1), 1)
            first = await fleet.serving()
            assert b" 424 " in await fleet.ask(first, b"-1")
            second = await fleet.serving(but=first.stem)
            assert (await fleet.ask(second, b"[1]")).endswith(b"[3]")
            await target.drain_all()

        run(story())
