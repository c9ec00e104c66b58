"""A real worker under the name of AWS's XGBoost image: what goes over its socket."""

import json
from pathlib import Path

from tests.worker_process import Workers, models, workers
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind

__all__ = ["models", "workers"]
AWS = RuntimeChoice(RuntimeKind.SAGEMAKER_XGBOOST)


def test_an_empty_body_is_204_and_the_connection_goes_on(workers: Workers, models: Path) -> None:
    worker = workers.start(AWS, models / "binary.ubj")

    async def test() -> None:
        await worker.ready()
        connection = await worker.connect()
        for body in (b"", b"1,2,3,4,5", b""):
            head = (
                "POST /invocations HTTP/1.1\r\nhost: w\r\ncontent-type: text/csv\r\naccept: application/json\r\n"
            )
            connection.send(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            response = await connection.receive()
            assert response.status == (200 if body else 204)
            assert response.headers["x-amzn-invoked-production-variant"]
            if body:
                [row] = json.loads(response.body)["predictions"]
                assert 0 < row["score"] < 1
            else:
                assert response.body == b""
                assert "content-length" not in response.headers

    workers.run(test())


def test_an_empty_body_of_a_queue_is_an_empty_answer(workers: Workers, models: Path) -> None:
    worker = workers.start(AWS, models / "binary.ubj", queued=True)

    async def test() -> None:
        await worker.ready()
        response = await worker.ask("/invocations", b"", {"content-type": "text/libsvm"}, "POST")
        assert (response.status, response.body) == (200, b"")

    workers.run(test())


def test_a_variable_with_a_mistake_fails_the_start(workers: Workers, models: Path) -> None:
    worker = workers.start(AWS, models / "binary.ubj", environment={"SAGEMAKER_INFERENCE_OUTPUT": "probabilty"})
    worker.wait()
    assert "SAGEMAKER_INFERENCE_OUTPUT is a list of predicted_label" in worker.failure.message
