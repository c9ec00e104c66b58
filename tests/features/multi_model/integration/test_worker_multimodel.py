"""Many models behind one real worker: loaded on first use, let go under a budget, none harmed by another."""

import asyncio
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import xgboost

from tests.worker_process import Response, RunningWorker, Workers, csv, models, workers
from tidegate.serving.contract.replica_spec import Serving

__all__ = ["models", "workers"]

ROW = csv(1, 2, 3, 4, 5)


@pytest.fixture
def clients(tmp_path: Path, models: Path) -> Path:
    """A prefix: a.ubj and c/b.tar.gz answer alike, three.ubj gives three classes."""
    folder = tmp_path / "clients"
    (folder / "c").mkdir(parents=True)
    shutil.copy(models / "binary.ubj", folder / "a.ubj")
    shutil.copy(models / "classes.ubj", folder / "three.ubj")
    with tarfile.open(folder / "c" / "b.tar.gz", "w:gz") as tar:
        tar.add(models / "binary.ubj", "model.ubj")
    return folder


def start(workers: Workers, data: Path | str, **changes: object) -> RunningWorker:
    url = data if isinstance(data, str) else data.as_uri() + "/"
    return workers.xgboost(url, serving=Serving.MULTI_MODEL, **changes)


async def ask(worker: RunningWorker, model: str | None, body: bytes = ROW) -> Response:
    headers = {} if model is None else {"X-Amzn-SageMaker-Target-Model": model}
    return await worker.ask("/invocations", body, headers)


async def listed(worker: RunningWorker) -> dict[str, dict[str, object]]:
    found = (await worker.ask("/_tidegate/models")).json()["models"]
    assert isinstance(found, list)
    return {model["name"]: model for model in found}


async def until(worker: RunningWorker, model: str, state: str) -> dict[str, object]:
    """Asks the model until its state is so."""
    for _ in range(2000):
        await ask(worker, model)
        if (found := (await listed(worker)).get(model)) and found["state"] == state:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"{model} did not become {state}: {await listed(worker)}\n{worker.log}")


async def series(worker: RunningWorker) -> dict[tuple[str, str], float]:
    """Sums of what was noted, by name and TargetModel, once the second is over."""
    await asyncio.sleep(1.1)
    sums: dict[tuple[str, str], float] = {}
    for second in (await worker.ask("/_tidegate/stats")).json()["seconds"]:  # type: ignore[attr-defined]
        for one in second["series"]:
            key = one["name"], one["dimensions"].get("TargetModel", "")
            sums[key] = sums.get(key, 0) + one["spread"]["total"]
    return sums


def test_models_load_on_first_use_and_answer_as_the_library(workers: Workers, clients: Path) -> None:
    worker = start(workers, clients)
    booster = xgboost.Booster(model_file=clients / "a.ubj")
    expected = booster.inplace_predict(np.array([[1, 2, 3, 4, 5]], np.float32))[0]

    async def test() -> None:
        await worker.ready()
        assert await listed(worker) == {}
        for name in ("a.ubj", "c/b.tar.gz", "/a.ubj"):
            answer = await ask(worker, name)
            assert answer.status == 200
            assert float(answer.body) == pytest.approx(expected, abs=1e-6)
        three = await ask(worker, "three.ubj")
        assert len(three.body.split(b",")) == 3
        found = await listed(worker)
        assert {name: model["state"] for name, model in found.items()} == dict.fromkeys(
            ["a.ubj", "c/b.tar.gz", "three.ubj"], "loaded"
        )
        noted = await series(worker)
        assert noted["ModelCacheHit", ""] == 1
        assert noted["ModelLoadingTime", ""] > 0
        assert noted["ModelLoadingWaitTime", ""] >= noted["ModelLoadingTime", ""] / 2
        assert sum(count for (name, _), count in noted.items() if name == "Invocations") == 4

    workers.run(test())


def test_one_load_for_all_who_wait(workers: Workers, clients: Path) -> None:
    worker = start(workers, clients)

    async def test() -> None:
        await worker.ready()
        answers = await asyncio.gather(*(ask(worker, "a.ubj") for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        noted = await series(worker)
        assert sum(name == "ModelDownloadingTime" for name, _ in noted) == 1
        assert noted["LoadedModelCount", ""] <= 20

    workers.run(test())


REFUSED_NAMES = [
    (None, "TargetModel is required"),
    ("../secret.ubj", "not the path of a file"),
    ("c/../../secret.ubj", "not the path of a file"),
    ("c//b.tar.gz", "not the path of a file"),
    ("link.ubj", "there is no such file"),
    ("linked/secret.ubj", "there is no such file"),
    ("c", "there is no such file"),
    ("absent.ubj", "Failed to download model data for TargetModel absent.ubj: there is no such file"),
    ("x" * 1025, "Member must have length less than or equal to 1024"),
]


def test_names_of_no_file_and_paths_out_of_the_prefix_are_refused(
    workers: Workers, clients: Path, models: Path
) -> None:
    shutil.copy(models / "binary.ubj", clients.parent / "secret.ubj")
    (clients / "link.ubj").symlink_to(clients.parent / "secret.ubj")
    (clients / "linked").symlink_to(clients.parent)
    worker = start(workers, clients)

    async def test() -> None:
        await worker.ready()
        for name, why in REFUSED_NAMES:
            answer = await ask(worker, name)
            assert (answer.status, answer.headers["x-amzn-errortype"]) == (400, "ValidationError"), name
            assert why in str(answer.json()["Message"]), name
            assert (await ask(worker, "a.ubj")).status == 200, name

    workers.run(test())


def test_a_model_appears_when_its_artifact_does(workers: Workers, clients: Path) -> None:
    worker = start(workers, clients)

    async def test() -> None:
        await worker.ready()
        assert (await ask(worker, "new.ubj")).status == 400
        shutil.copy(clients / "a.ubj", clients / "new.ubj")
        await until(worker, "new.ubj", "loaded")

    workers.run(test())


def forged(data: bytes) -> bytes:
    """Whole UBJSON, but the trees' children point far out of the tree: the library reads beyond its memory."""
    at = data.index(b"left_children")
    begin = data.index(b"[$l#", at)
    begin = data.index(b"L", begin) + 9
    return data[:begin] + (0x7FFFFFF0).to_bytes(4, "big") + data[begin + 4 :]


def test_corrupt_neighbours_harm_nobody(workers: Workers, clients: Path) -> None:
    data = (clients / "a.ubj").read_bytes()
    (clients / "cut.ubj").write_bytes(data[: len(data) // 2])
    (clients / "forged.ubj").write_bytes(forged(data))
    (clients / "pickle.ubj").write_bytes(b"\x80\x04\x95")
    (clients / "text.tar.gz").write_bytes(b"no archive")
    worker = start(workers, clients)

    async def test() -> None:
        await worker.ready()
        assert (await ask(worker, "a.ubj")).status == 200
        for name, why in (
            ("cut.ubj", "not a whole XGBoost model"),
            ("forged.ubj", "a node's child is none of its nodes"),
            ("pickle.ubj", "Python pickle"),
            ("text.tar.gz", "not a whole gzip file"),
        ):
            for _ in range(2):  # the second time from memory
                answer = await ask(worker, name)
                assert answer.status == 400
                assert why in str(answer.json()["Message"])
                assert str(clients) not in str(answer.json()["Message"])
        for name in ("a.ubj", "c/b.tar.gz"):
            assert (await ask(worker, name)).status == 200
        assert worker.process.poll() is None

    workers.run(test())


def many(folder: Path, number: int, trees: int = 60, parallel: int = 1) -> list[str]:
    """Models of some 50 kB each in memory."""
    random = np.random.default_rng(1)
    rows = random.normal(size=(2000, 5)).astype(np.float32)
    matrix = xgboost.DMatrix(rows, rows[:, 0] * rows[:, 1] + random.normal(size=2000))
    settings = {"max_depth": 7, "nthread": 1, "num_parallel_tree": parallel, "subsample": 0.9}
    booster = xgboost.train(settings, matrix, trees)
    names = [f"m{index}.ubj" for index in range(number)]
    for name in names:
        booster.save_model(folder / name)
    return names


def test_the_budget_is_kept_and_what_is_pinned_stays(workers: Workers, clients: Path) -> None:
    names = many(clients, 40)
    environment = {
        "MULTI_MODEL_MEMORY_MB": "1",
        "MULTI_MODEL_MINIMUM_STAY": "0",
        "MULTI_MODEL_PINNED": "a.ubj",
        "MULTI_MODEL_PREFETCH": "three.ubj",
    }
    worker = start(workers, clients, environment=environment)

    async def test() -> None:
        await worker.ready()
        await until(worker, "a.ubj", "loaded")
        for name in names:
            assert (await ask(worker, name)).status == 200
        page = (await worker.ask("/_tidegate/models")).json()
        assert 0 < int(str(page["held"])) <= 2**20
        assert 2 < int(str(page["loaded"])) < 40
        found = await listed(worker)
        assert (found["a.ubj"]["state"], found["a.ubj"]["pinned"]) == ("loaded", True)
        assert (await ask(worker, names[0])).status == 200
        noted = await series(worker)
        assert noted["ModelUnloadingTime", ""] >= 0

    workers.run(test())


def test_a_model_that_can_never_fit_is_told_so(workers: Workers, clients: Path) -> None:
    many(clients, 1, trees=60, parallel=20)
    worker = start(workers, clients, environment={"MULTI_MODEL_MEMORY_MB": "1"})

    async def test() -> None:
        await worker.ready()
        answer = await ask(worker, "m0.ubj")
        assert (answer.status, answer.headers["x-amzn-errortype"]) == (507, "InsufficientStorage")
        assert (await ask(worker, "a.ubj")).status == 200

    workers.run(test())


def test_without_a_cache_nothing_stays(workers: Workers, clients: Path) -> None:
    worker = start(workers, clients, cache=False)

    async def test() -> None:
        await worker.ready()
        for _ in range(2):
            assert (await ask(worker, "a.ubj")).status == 200
        answers = await asyncio.gather(*(ask(worker, "a.ubj") for _ in range(5)))
        assert {answer.status for answer in answers} == {200}
        assert (await worker.ask("/_tidegate/models")).json()["loaded"] == 0

    workers.run(test())


def retrained(models: Path, features: int = 5) -> bytes:
    """Another model of the same columns (or of others, which no request of before fits)."""
    random = np.random.default_rng(8)
    rows = random.normal(size=(300, features)).astype(np.float32)
    settings = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(rows, rows[:, 0] < 0), 5)
    return bytes(booster.save_raw("ubj"))


def test_a_new_version_takes_over_step_by_step(workers: Workers, clients: Path, models: Path) -> None:
    worker = start(workers, clients)

    async def test() -> None:
        await worker.ready()
        before = await ask(worker, "a.ubj")
        (clients / "new").write_bytes(retrained(models))
        os.replace(clients / "new", clients / "a.ubj")
        version = (await listed(worker))["a.ubj"]["version"]
        await until(worker, "a.ubj", "turnover: canary")
        bodies = [(await ask(worker, "a.ubj")).body for _ in range(100)]
        shares = {body: bodies.count(body) for body in set(bodies)}
        assert len(shares) == 2
        assert shares[before.body] > 60
        found = await until(worker, "a.ubj", "loaded")
        assert found["version"] != version
        after = await ask(worker, "a.ubj")
        assert after.body in shares and after.body != before.body
        assert (await series(worker))["ModelVersionsPromoted", ""] == 1

    workers.run(test())


@pytest.mark.parametrize("bad", ["corrupt", "other columns"])
def test_a_bad_new_version_is_refused_and_no_client_sees_it(
    workers: Workers, clients: Path, models: Path, bad: str
) -> None:
    worker = start(workers, clients)

    async def test() -> None:
        await worker.ready()
        before = await ask(worker, "a.ubj")
        content = b"{L broken" if bad == "corrupt" else retrained(models, features=6)
        (clients / "new").write_bytes(content)
        os.replace(clients / "new", clients / "a.ubj")
        answers = []
        for _ in range(2000):
            answers.append(await ask(worker, "a.ubj"))
            if "was refused" in worker.log:
                break
            await asyncio.sleep(0.02)
        assert "was refused" in worker.log
        assert {(answer.status, answer.body) for answer in answers} == {(200, before.body)}

    workers.run(test())


def test_what_is_kept_on_disk_outlives_the_worker(workers: Workers, clients: Path, tmp_path: Path) -> None:
    """A refused artifact is still refused by the next worker, which serves the version before it."""
    first = start(workers, clients, model_dir=str(tmp_path / "model"))

    async def test() -> None:
        await first.ready()
        before = await ask(first, "a.ubj")
        (clients / "new").write_bytes(b"{L broken")
        os.replace(clients / "new", clients / "a.ubj")
        for _ in range(2000):
            assert (await ask(first, "a.ubj")).status == 200
            if "was refused" in first.log:
                break
            await asyncio.sleep(0.02)
        first.process.kill()
        first.wait()
        second = start(workers, clients, model_dir=str(tmp_path / "model"))
        await second.ready()
        after = await ask(second, "a.ubj")
        assert (after.status, after.body) == (200, before.body)

    workers.run(test())


def test_a_damaged_file_on_this_machine_is_read_again(workers: Workers, clients: Path, tmp_path: Path) -> None:
    first = start(workers, clients, model_dir=str(tmp_path / "model"))

    async def test() -> None:
        await first.ready()
        assert (await ask(first, "a.ubj")).status == 200
        first.terminate()
        first.wait()
        [kept] = (tmp_path / "model.store").rglob("*.good")
        kept.write_bytes(kept.read_bytes()[:-1])
        second = start(workers, clients, model_dir=str(tmp_path / "model"))
        await second.ready()
        assert (await ask(second, "a.ubj")).status == 200
        assert "is damaged" in second.log

    workers.run(test())


def test_a_kind_that_forests_do_not_cover_stays_with_the_library(workers: Workers, clients: Path) -> None:
    rows = np.random.default_rng(2).normal(size=(200, 5)).astype(np.float32)
    settings = {"booster": "dart", "rate_drop": 0.5, "objective": "reg:squarederror", "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(rows, rows[:, 0]), 5)
    booster.save_model(clients / "dart.ubj")
    worker = start(workers, clients)

    async def test() -> None:
        await worker.ready()
        answer = await ask(worker, "dart.ubj")
        assert answer.status == 200
        expected = booster.inplace_predict(np.array([[1, 2, 3, 4, 5]], np.float32))[0]
        assert float(answer.body) == pytest.approx(expected, rel=1e-5)

    workers.run(test())


def test_packed_answers(workers: Workers, clients: Path) -> None:
    """A body of many rows is scored off the event loop, in one piece."""
    worker = start(workers, clients)
    body = b"\n".join([ROW] * 20_000)

    async def test() -> None:
        await worker.ready()
        answer = await ask(worker, "a.ubj", body)
        assert answer.status == 200
        assert len(set(answer.body.splitlines())) == 1
        assert len(answer.body.splitlines()) == 20_000

    workers.run(test())
