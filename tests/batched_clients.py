"""Clients whose requests meet in one worker's batcher, and what each of them gets alone."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from tidegate.serving.contract.invocation import Answer, Call, Outcome
from tidegate.serving.scoring.batching import Batcher

JSON = {b"content-type": b"application/json"}
PATIENCE = 60.0


def call(rows: Any) -> Call:
    """NaN becomes null."""
    return Call(msgspec.json.encode({"instances": np.asarray(rows).tolist()}), JSON)


async def submit(engine: Batcher[Any, Any], requests: Sequence[Any]) -> tuple[list[Outcome], list[Call]]:
    """All at once, so that they are scored together where the engine does that."""
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[Outcome]] = [loop.create_future() for _ in requests]
    calls = [call(rows) for rows in requests]
    for one, future in zip(calls, futures, strict=True):
        engine.submit(one, future.set_result)
    return await asyncio.wait_for(asyncio.gather(*futures), PATIENCE), calls


def together(scorer: Any, requests: Sequence[Any], rounds: int = 1) -> list[Any]:
    """The predictions for each request, of the last of some rounds."""

    async def main() -> list[Outcome]:
        engine = Batcher(scorer, asyncio.get_running_loop())
        for _ in range(rounds):
            outcomes, _ = await submit(engine, requests)
        await engine.close()
        return outcomes

    return [predictions(outcome) for outcome in asyncio.run(main())]


def alone(scorer: Any, requests: Sequence[Any]) -> list[Any]:
    return [
        predictions(scorer.render(scorer.score([scorer.parse(call(rows))])[0], call(rows))) for rows in requests
    ]


def predictions(outcome: Outcome) -> Any:
    """Of an answer; the message of a failure."""
    if isinstance(outcome, Answer):
        return msgspec.json.decode(outcome.body)["predictions"]
    return str(outcome)


def assert_alike(found: Sequence[Any], expected: Sequence[Any]) -> None:
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, str) or isinstance(other, str):
            assert one == other
        else:
            first, second = np.array(one, float), np.array(other, float)
            np.testing.assert_allclose(
                first, second, rtol=2e-5, atol=2e-5 * max(1.0, np.nanmax(np.abs(second), initial=0))
            )


# --- ONNX graphs ---

Weights = dict[str, NDArray[Any]]


def save_onnx(
    path: Path, nodes: Sequence[onnx.NodeProto], weights: Weights, width: int, opset: int = 17, output: str = "out"
) -> Path:
    """A model of one table of ``width`` columns, ``rows``."""
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        list(nodes),
        "g",
        [value("rows", onnx.TensorProto.FLOAT, [None, width])],
        [value(output, onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    opsets.append(onnx.helper.make_opsetid("com.microsoft", 1))
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path
