"""CSV answers: the same rows give the same bytes, the last end of line included, whichever way they are answered."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from tests.unit.serving.front.test_event_stream import parsed
from tidegate.serving.contract.body_spool import LargeCall, Spool
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed, Outcome
from tidegate.serving.engines.mapped_forest import open_forest, write_forest
from tidegate.serving.engines.pipeline import ARRAY, Pipeline, PipelineStage
from tidegate.serving.formats.content_types import CSV, write
from tidegate.serving.front import event_stream
from tidegate.serving.runtimes import script_arrays
from tidegate.serving.runtimes import xgboost as runtime
from tidegate.serving.scoring.batching import Batcher
from tidegate.serving.scoring.chunked_scoring import answer_blocks
from tidegate.serving.scoring.file_ranges import PartBatcher

ROWS = np.random.default_rng(4).normal(size=(700, 3)).round(4)
LINES = [",".join(map(str, row)).encode() + b"\n" for row in ROWS.tolist()]
BODY = b"".join(LINES)
HEADERS = {b"content-type": b"text/csv", b"accept": b"text/csv"}
NAN = float("nan")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of rare events: most of its answers need an exponent."""
    data = xgboost.DMatrix(ROWS, ROWS[:, 0] > 0)
    settings = {"objective": "binary:logistic", "nthread": 1, "base_score": 1e-7, "eta": 0.05}
    found = tmp_path_factory.mktemp("model") / "data"
    found.mkdir()
    xgboost.train(settings, data, 5).save_model(found / "xgboost-model.ubj")
    write_forest(RuntimeKind.XGBOOST, found, {})
    return found


async def sent(engine: Any, bodies: Sequence[bytes]) -> list[bytes]:
    """What each is answered, all sent at once."""
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[Outcome]] = [loop.create_future() for _ in bodies]
    for body, future in zip(bodies, futures, strict=True):
        engine.submit(Call(body, HEADERS), future.set_result)
    outcomes = await asyncio.wait_for(asyncio.gather(*futures), 300)
    await engine.close()
    return [content(outcome) for outcome in outcomes]


def content(outcome: Outcome) -> bytes:
    assert isinstance(outcome, Answer)
    return outcome.body


def batched(model: Any, bodies: Sequence[bytes]) -> list[bytes]:
    async def main() -> list[bytes]:
        return await sent(Batcher(model, asyncio.get_running_loop()), bodies)

    return asyncio.run(main())


def whole(folder: Path, scratch: Path) -> list[bytes]:
    return batched(runtime.load(folder, {}), [BODY])


def row_by_row(folder: Path, scratch: Path) -> list[bytes]:
    model = runtime.load(folder, {})
    return [batched(model, [line])[0] for line in LINES[:20]] + batched(model, [b"".join(LINES[20:])])


def together(folder: Path, scratch: Path) -> list[bytes]:
    return batched(runtime.load(folder, {}), LINES)


def unended(folder: Path, scratch: Path) -> list[bytes]:
    """Rows whose own last line is not ended."""
    return batched(runtime.load(folder, {}), [BODY.removesuffix(b"\n")])


def mapped(folder: Path, scratch: Path) -> list[bytes]:
    """The first answer of a serverless replica."""
    model = open_forest(RuntimeKind.XGBOOST, folder, {})
    assert model is not None
    return batched(model, LINES)


def in_blocks(folder: Path, scratch: Path) -> list[bytes]:
    spool = Spool(scratch)
    spool.add(BODY)
    return [content(answer_blocks(runtime.load(folder, {}), LargeCall(spool, HEADERS), spool, block=2000))]


def of_a_job(folder: Path, scratch: Path) -> list[bytes]:
    async def main() -> list[bytes]:
        return await sent(PartBatcher(runtime.load(folder, {}), asyncio.get_running_loop()), [BODY])

    return asyncio.run(main())


def piped(folder: Path, scratch: Path) -> list[bytes]:
    async def main() -> list[bytes]:
        first, last = (Batcher(model, asyncio.get_running_loop()) for model in (Same(), runtime.load(folder, {})))
        return await sent(
            Pipeline([PipelineStage("same", first, ARRAY), PipelineStage("model", last)], 10**6, 60), LINES
        )

    return asyncio.run(main())


class Same:
    """A first stage that hands rows on."""

    batches = True

    def parse(self, call: Call) -> Any:
        return np.array([line.split(b",") for line in call.body.splitlines()], np.float64)

    def size(self, rows: Any) -> int:
        return len(rows)

    def count(self, scores: Any) -> int:
        return len(scores)

    def score(self, requests: Sequence[Any]) -> Sequence[Any]:
        return list(requests)

    def render(self, scores: Any, call: Call) -> Answer:
        return write(scores, "application/x-npy")


def aws(folder: Path, scratch: Path) -> list[bytes]:
    """The image name of AWS's XGBoost container."""
    model = open_forest(RuntimeKind.SAGEMAKER_XGBOOST, folder, {})
    assert model is not None
    return batched(model, LINES)


def streamed(folder: Path, scratch: Path) -> list[bytes]:
    """By InvokeEndpointWithResponseStream."""
    [body] = batched(runtime.load(folder, {}), [BODY])
    return [message.payload for message in parsed(b"".join(event_stream.payload_parts(body)))]


@pytest.mark.parametrize(
    "way",
    [row_by_row, together, unended, mapped, in_blocks, of_a_job, piped, aws, streamed],
    ids=lambda way: way.__name__,
)
def test_the_same_rows_give_the_same_bytes(
    way: Callable[[Path, Path], list[bytes]], folder: Path, tmp_path: Path
) -> None:
    [expected] = whole(folder, tmp_path)
    found = way(folder, tmp_path)
    assert b"e-" in expected and expected.count(b"\n") == len(ROWS)
    assert all(body.endswith(b"\n") for body in found)
    assert b"".join(found) == expected


@pytest.mark.parametrize(
    "predictions",
    [
        np.array([1e-7, 0.5, 1e17, -0.0, 123456789.0] * 200, np.float32),
        np.array([1e-7, 0.00001, NAN, np.inf, -np.inf, 1e22, 5.0] * 200),
        np.array([[1e-7, 1e17], [NAN, -np.inf], [2.0, 3e-5]] * 300),
        np.array([[0.1, 1e-9], [0.2, 1e-5]] * 300, np.float32),
        np.array([1e-7, "a", 3, "b,c", True] * 200, object),
        np.array(["a", "", 'b"c'] * 200),
        np.arange(1200).reshape(600, 2),
    ],
    ids=["single", "double", "table", "single-table", "mixed", "labels", "whole"],
)
def test_a_csv_line_does_not_depend_on_its_neighbours(predictions: np.ndarray) -> None:
    alone = [write(predictions[row : row + 1], CSV).body for row in range(len(predictions))]
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in alone)
    assert write(predictions, CSV).body == b"".join(alone)


def test_csv_numbers_read_back_as_the_same_numbers() -> None:
    values = np.array([1e-7, 1 / 3, 1e300, 5e-324, -0.0, NAN, np.inf])
    found = [float(line) for line in write(values, CSV).body.splitlines()]
    np.testing.assert_array_equal(found, values)
    assert np.signbit(found[4])


@pytest.mark.parametrize("rows", [1, 2, 600])
def test_the_default_of_scripts_ends_each_line(rows: int) -> None:
    body, _ = script_arrays.encode(np.full(rows, 1e-7), CSV)
    one, _ = script_arrays.encode(np.full(1, 1e-7), CSV)
    assert one.endswith(b"\n") and body == one * rows


def test_a_value_for_each_row_is_no_row_of_the_next_stage(folder: Path, tmp_path: Path) -> None:
    """Three rows have three answers, and the next model takes three columns."""
    xgboost.train({"nthread": 1}, xgboost.DMatrix(ROWS[:, :1], ROWS[:, 1]), 3).save_model(tmp_path / "m.ubj")

    async def main(models: Sequence[Any]) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        first, last = (Batcher(model, loop) for model in models)
        found: asyncio.Future[Outcome] = loop.create_future()
        pipeline = Pipeline([PipelineStage("first", first, ARRAY), PipelineStage("last", last)], 10**6, 60)
        pipeline.submit(Call(b"".join(LINES[:3]), HEADERS), found.set_result)
        await asyncio.wait_for(found, 300)
        await pipeline.close()
        return [found.result()]

    wide, narrow = runtime.load(folder, {}), runtime.load(tmp_path, {})
    [refused] = asyncio.run(main([wide, runtime.load(folder, {})]))
    assert isinstance(refused, ModelFailed)
    assert "has 1 columns; the model takes 3" in refused.message
    [answered] = asyncio.run(main([wide, narrow]))
    assert len(content(answered).splitlines()) == 3
