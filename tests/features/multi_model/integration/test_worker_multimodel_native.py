"""Models that are code or need a library of their own, many in one worker: one's death is not the others'."""

import asyncio
import os
import signal
import tarfile
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.worker_process import Response, RunningWorker, Workers, workers
from tidegate.domain.fleet import FleetId
from tidegate.features.multi_model.worker.config import MultiModelConfig
from tidegate.features.multi_model.worker.engine import MultiModelEngine
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call, Rejected
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, Serving
from tidegate.serving.engines.assembly import open_container

pytestmark = pytest.mark.slow

__all__ = ["workers"]

TRUSTED = {"TIDEGATE_TRUST": "code"}
ECHO = """
    def model_fn(model_dir):
        return None

    def transform_fn(model, body, content_type, accept):
        return "well", "text/plain"
"""
KILLS_WHEN_ASKED = """
    import os, signal

    def model_fn(model_dir):
        return None

    def transform_fn(model, body, content_type, accept):
        os.kill(os.getpid(), signal.SIGSEGV)
"""
KILLS_WHEN_LOADED = """
    import os, signal

    def model_fn(model_dir):
        os.kill(os.getpid(), signal.SIGSEGV)
"""
WAITS = """
    import pathlib, time

    def model_fn(model_dir):
        while not pathlib.Path({go!r}).exists():
            time.sleep(0.01)

    def transform_fn(model, body, content_type, accept):
        return "at last", "text/plain"
"""


def script(folder: Path, name: str, text: str) -> None:
    """A model that is a script, packed as AWS's images take it."""
    folder.mkdir(exist_ok=True)
    source = folder / "source.py"
    source.write_text(textwrap.dedent(text))
    with tarfile.open(folder / f"{name}.new", "w:gz") as tar:
        tar.add(source, "code/inference.py")
    source.unlink()
    os.replace(folder / f"{name}.new", folder / name)


async def ask(worker: RunningWorker, model: str, body: bytes = b"x") -> Response:
    headers = {"X-Amzn-SageMaker-Target-Model": model, "Content-Type": "text/plain"}
    return await worker.ask("/invocations", body, headers)


def start(workers: Workers, folder: Path, tmp_path: Path) -> RunningWorker:
    return workers.start(
        RuntimeChoice(RuntimeKind.SKLEARN),
        folder.as_uri(),
        serving=Serving.MULTI_MODEL,
        model_dir=str(tmp_path / "model"),
        environment=TRUSTED,
    )


def test_a_model_that_kills_its_reader_is_refused_and_the_worker_lives(workers: Workers, tmp_path: Path) -> None:
    script(tmp_path / "m", "good.tar.gz", ECHO)
    script(tmp_path / "m", "bad.tar.gz", KILLS_WHEN_LOADED)
    worker = start(workers, tmp_path / "m", tmp_path)

    async def test() -> None:
        await worker.ready()
        bad = await ask(worker, "bad.tar.gz")
        assert bad.status == 400
        assert "reading it ended the process that read it (signal 11)" in str(bad.json()["Message"])
        assert (await ask(worker, "good.tar.gz")).body == b"well"
        assert worker.process.poll() is None

    workers.run(test())


def test_a_model_that_killed_its_worker_twice_is_left_alone_until_it_changes(
    workers: Workers, tmp_path: Path
) -> None:
    script(tmp_path / "m", "good.tar.gz", ECHO)
    script(tmp_path / "m", "bad.tar.gz", KILLS_WHEN_ASKED)

    async def test() -> None:
        for body in (b"x", b"y"):
            worker = start(workers, tmp_path / "m", tmp_path)
            await worker.ready()
            assert (await ask(worker, "good.tar.gz")).body == b"well"
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await ask(worker, "bad.tar.gz", body)
            assert worker.wait() == -signal.SIGSEGV
        third = start(workers, tmp_path / "m", tmp_path)
        await third.ready()
        refused = await ask(third, "bad.tar.gz")
        assert refused.status == 400
        assert "it ended its worker 2 times" in str(refused.json()["Message"])
        assert (await ask(third, "good.tar.gz")).body == b"well"
        script(tmp_path / "m", "bad.tar.gz", ECHO)
        for _ in range(2000):
            if (answer := await ask(third, "bad.tar.gz")).status == 200:
                break
            await asyncio.sleep(0.05)
        assert answer.body == b"well"

    workers.run(test())


KILLS_AT_Y = """
    import os, signal

    def model_fn(model_dir):
        return None

    def transform_fn(model, body, content_type, accept):
        if body == b"y":
            os.kill(os.getpid(), signal.SIGSEGV)
        return body, "text/plain"
"""


def test_a_request_that_ended_a_worker_does_not_end_another(workers: Workers, tmp_path: Path) -> None:
    """As when the proxy sends it again to the next replica, which has had the model in memory for long."""
    script(tmp_path / "m", "bad.tar.gz", KILLS_AT_Y)

    async def test() -> None:
        first, second = (start(workers, tmp_path / "m", tmp_path) for _ in range(2))
        for worker in (first, second):
            await worker.ready()
            assert (await ask(worker, "bad.tar.gz")).body == b"x"
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await ask(first, "bad.tar.gz", b"y")
        for _ in range(2):
            refused = await ask(second, "bad.tar.gz", b"y")
            assert refused.status == 424
            told = (
                "A request like this ended the process that model bad.tar.gz ran in; it is not given to the model"
            )
            assert refused.json()["OriginalMessage"] == f"{told} again."
        assert (await ask(second, "bad.tar.gz", b"z")).body == b"z"
        assert second.process.poll() is None

    workers.run(test())


async def test_a_slow_load_is_told_of_and_goes_on(tmp_path: Path) -> None:
    """429 to who has waited long enough; others are served meanwhile; the model answers once it is there."""
    go = tmp_path / "go"
    script(tmp_path / "m", "slow.tar.gz", WAITS.format(go=str(go)))
    script(tmp_path / "m", "good.tar.gz", ECHO)
    container = ContainerSpec(
        runtime=RuntimeChoice(RuntimeKind.SKLEARN),
        model_dir=str(tmp_path / "model"),
        data_url=(tmp_path / "m").as_uri(),
        environment=TRUSTED,
    )
    spec = ReplicaSpec(
        replica="r",
        fleet=FleetId("e", 1, "v"),
        config_name="c",
        containers=(container,),
        socket=str(tmp_path / "s"),
        serving=Serving.MULTI_MODEL,
    )

    async def opening(folder: str) -> Any:
        one = ContainerSpec(runtime=container.runtime, model_dir=folder, environment=TRUSTED)
        return await open_container(spec, one, lambda *_, **__: None)

    async def waited(models: MultiModelEngine) -> None:
        async def ask(name: str) -> Any:
            answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            headers = {b"x-amzn-sagemaker-target-model": name.encode(), b"content-type": b"text/plain"}
            models.submit(Call(b"x", headers), answered.set_result)
            return await answered

        slow = await ask("slow.tar.gz")
        assert isinstance(slow, Rejected)
        assert (slow.status, slow.name) == (429, "ModelNotReadyException")
        while not isinstance(answer := await ask("good.tar.gz"), Answer):
            assert answer.status == 429
        assert answer.body == b"well"
        assert [model["state"] for model in models.listing()["models"]] == ["loaded", "loading"]  # type: ignore
        go.touch()
        while not isinstance(answer := await ask("slow.tar.gz"), Answer):
            assert answer.status == 429
        assert answer.body == b"at last"

    models = MultiModelEngine(spec, container, opening, MultiModelConfig(memory=2**30, patience=0.2))
    await models.start()
    try:
        await waited(models)
    finally:
        await models.close()
