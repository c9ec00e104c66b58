"""Models that come and go, for memory is short: new versions take over, and nobody is refused for ever."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from tidegate.domain.fleet import FleetId
from tidegate.features.multi_model.worker import engine, version_watcher
from tidegate.features.multi_model.worker.config import MultiModelConfig
from tidegate.features.multi_model.worker.engine import MultiModelEngine
from tidegate.features.multi_model.worker.model_canary import Rule
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call, Outcome
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, Serving
from tidegate.serving.engines.assembly import open_container

pytestmark = pytest.mark.slow

COLUMNS = 6
BAKE = 0.5
DEADLINE = 60.0
"""Seconds after which a test gives up."""


def saved(path: Path, level: float, **settings: Any) -> None:
    """A model that answers about ``level``."""
    random = np.random.default_rng(3)
    rows = random.normal(size=(500, COLUMNS)).astype(np.float32)
    matrix = xgboost.DMatrix(rows, rows[:, 0] + level)
    model = xgboost.train({"nthread": 1, "max_depth": 5, "base_score": level, **settings}, matrix, 30)
    model.save_model(path.with_suffix(".new.ubj"))
    os.replace(path.with_suffix(".new.ubj"), path)


async def served(
    folder: Path, data: Path, memory: int, work: Callable[[MultiModelEngine], Awaitable[None]]
) -> None:
    runtime = RuntimeChoice(RuntimeKind.XGBOOST)
    container = ContainerSpec(runtime=runtime, model_dir=str(folder / "model"), data_url=data.as_uri())
    spec = ReplicaSpec(
        replica="r",
        fleet=FleetId("e", 1, "v"),
        config_name="c",
        containers=(container,),
        socket=str(folder / "s"),
        serving=Serving.MULTI_MODEL,
    )

    async def opening(one: str) -> Any:
        return await open_container(spec, ContainerSpec(runtime=runtime, model_dir=one), lambda *_, **__: None)

    models = MultiModelEngine(spec, container, opening, MultiModelConfig(memory=memory, minimum_stay=0.0))
    await models.start()
    try:
        async with asyncio.timeout(DEADLINE):
            await work(models)
    finally:
        await models.close()


async def ask(models: MultiModelEngine, name: str) -> Outcome:
    outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    body = b",".join([b"0"] * COLUMNS)
    models.submit(Call(body, {b"x-amzn-sagemaker-target-model": name.encode()}), outcome.set_result)
    return await outcome


async def value(models: MultiModelEngine, name: str) -> float:
    answer = await ask(models, name)
    assert isinstance(answer, Answer), answer
    return float(answer.body)


@pytest.mark.parametrize("booster", ["gbtree", "dart"])
async def test_a_new_version_takes_over_though_its_model_is_let_go_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, booster: str
) -> None:
    monkeypatch.setattr(engine, "Rule", lambda: Rule(bake=BAKE))
    monkeypatch.setattr(version_watcher, "EVERY", 0.05)
    data = tmp_path / "m"
    data.mkdir()
    for name in ("a.ubj", "b.ubj"):
        saved(data / name, 10.0, booster=booster)

    async def work(models: MultiModelEngine) -> None:
        assert abs(await value(models, "a.ubj") - 10) < 5
        saved(data / "a.ubj", 100.0, booster=booster)
        seen: list[float] = []
        while not all(abs(one - 100) < 5 for one in seen[-12:]) or len(seen) < 12:
            seen.append(await value(models, "a.ubj"))
            await asyncio.sleep(0.1)
            models._cache.drop(models._cache.clients["a.ubj"])  # as others that are asked more make it go
        assert models._cache.clients["a.ubj"].update is None

    await served(tmp_path, data, 2**30, work)


async def test_a_new_version_is_tried_where_models_displace_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for it is never made by letting go the version that answers meanwhile."""
    monkeypatch.setattr(engine, "Rule", lambda: Rule(bake=BAKE))
    monkeypatch.setattr(version_watcher, "EVERY", 0.05)
    data = tmp_path / "m"
    data.mkdir()
    names = [f"{number}.ubj" for number in range(4)]
    for name in names:
        saved(data / name, 10.0)

    async def work(models: MultiModelEngine) -> None:
        for name in names:
            await value(models, name)
        saved(data / names[0], 100.0)
        while abs(await value(models, names[0]) - 100) > 5 or models._cache.clients[names[0]].update is not None:
            for name in names[1:]:
                assert abs(await value(models, name) - 10) < 5
            await asyncio.sleep(0.02)

    await served(tmp_path, data, 30_000, work)


async def test_a_version_that_answered_once_takes_over_by_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "Rule", lambda: Rule(bake=BAKE))
    monkeypatch.setattr(version_watcher, "EVERY", 0.05)
    data = tmp_path / "m"
    data.mkdir()
    saved(data / "a.ubj", 10.0)

    async def work(models: MultiModelEngine) -> None:
        await value(models, "a.ubj")
        saved(data / "a.ubj", 100.0)
        await asyncio.sleep(0.1)
        while abs(await value(models, "a.ubj") - 100) > 5:  # the new version's first answer
            await asyncio.sleep(0.05)
        while models._cache.clients["a.ubj"].update is not None:
            await asyncio.sleep(0.05)
        assert abs(await value(models, "a.ubj") - 100) < 5

    await served(tmp_path, data, 2**30, work)


async def test_a_few_models_of_the_library_share_a_tight_budget(tmp_path: Path) -> None:
    """What the first one was measured to take counts work of the process as well."""
    data = tmp_path / "m"
    data.mkdir()
    names = [f"{number}.ubj" for number in range(5)]
    for name in names:
        saved(data / name, 10.0, booster="dart")

    async def work(models: MultiModelEngine) -> None:
        for turn in range(4):
            for name in names:
                assert isinstance(outcome := await ask(models, name), Answer), outcome
                if not turn:  # the first measurements were of much more
                    client = models._cache.clients[name]
                    client.sizes = (2**24,) if client.sizes else ()

    await served(tmp_path, data, 2**20, work)
