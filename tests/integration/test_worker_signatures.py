"""A real worker that asks for signatures, signed for by botocore."""

from pathlib import Path

import botocore.session
import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.request_targets import AMBIGUOUS
from tests.worker_process import Workers, csv, models, workers

__all__ = ["models", "workers"]

ROW = csv(1, 2, 3, 4, 5)
PATH = "/endpoints/fraud/invocations"


def signed(secret: str, body: bytes, key: str = "AKIDEXAMPLE", path: str = PATH) -> dict[str, str]:
    made = AWSRequest("POST", f"http://worker{path}", {"content-type": "text/csv", "host": "worker"}, body)
    SigV4Auth(Credentials(key, secret), "sagemaker", "eu-west-1").add_auth(made)
    return {name: value for name, value in made.headers.items() if name.lower() != "host"}


def test_only_signed_requests_are_let_in(workers: Workers, models: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(msgspec.json.encode({"AKIDEXAMPLE": "secret-one"}))
    keys.chmod(0o600)
    worker = workers.xgboost(models / "binary.ubj", keys_file=str(keys))

    async def test() -> None:
        await worker.ready()
        good = signed("secret-one", ROW)
        assert (await worker.ask(PATH, ROW, good)).status == 200
        for headers, body, error in (
            ({}, ROW, "MissingAuthenticationTokenException"),
            (good, ROW[:-1] + b"9", "InvalidSignatureException"),
            (signed("secret-two", ROW), ROW, "InvalidSignatureException"),
            (signed("secret-one", ROW, "AKIDOTHER"), ROW, "UnrecognizedClientException"),
            ({**good, "X-Amz-Date": "20200101T000000Z"}, ROW, "InvalidSignatureException"),
        ):
            answer = await worker.ask(PATH, body, headers)
            assert (answer.status, answer.headers["x-amzn-errortype"]) == (403, error)
            assert answer.json()["Message"]
        assert (await worker.ask("/_tidegate/stats")).status == 200
        keys.write_bytes(msgspec.json.encode({"AKIDEXAMPLE": "secret-two"}))
        assert (await worker.ask(PATH, ROW, signed("secret-two", ROW))).status == 200
        assert (await worker.ask(PATH, ROW, signed("secret-one", ROW))).status == 403
        keys.unlink()
        answer = await worker.ask(PATH, ROW, signed("secret-two", ROW))
        assert (answer.status, answer.headers["x-amzn-errortype"]) == (500, "InternalFailure")

    workers.run(test())
    assert "secret-" not in worker.log


def test_openai_clients_may_show_a_key_instead(workers: Workers, models: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(msgspec.json.encode({"AKIDEXAMPLE": "secret-one"}))
    keys.chmod(0o600)
    worker = workers.xgboost(models / "binary.ubj", keys_file=str(keys))
    chat, text = "/endpoints/fraud/v1/completions", {"content-type": "text/csv"}

    async def test() -> None:
        await worker.ready()
        shown = {**text, "Authorization": "Bearer AKIDEXAMPLE:secret-one"}
        assert (await worker.ask(chat, ROW, shown)).status == 200
        for headers in (text, {**text, "Authorization": "Bearer AKIDEXAMPLE:secret-two"}):
            answer = await worker.ask(chat, ROW, headers)
            assert answer.status == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"  # type: ignore[index]
        for path in (PATH, f"{PATH}-response-stream"):  # a key that travels is only for those that cannot sign
            assert (await worker.ask(path, ROW, shown)).status == 403

    workers.run(test())


def test_a_worker_answers_for_its_own_endpoint_and_for_one_spelling_of_a_path(
    workers: Workers, models: Path, tmp_path: Path
) -> None:
    """Whoever sends the request here: the proxy has refused all of this before."""
    keys = tmp_path / "keys.json"
    keys.write_bytes(msgspec.json.encode({"AKIDEXAMPLE": "secret-one"}))
    keys.chmod(0o600)
    guarded = workers.xgboost(models / "binary.ubj", keys_file=str(keys))
    open_to_all = workers.xgboost(models / "binary.ubj")
    of_another = (
        "/endpoints/other/invocations",
        "/endpoints/other/v1/completions",
        "/endpoints/other/invocations-response-stream",
    )

    async def test() -> None:
        for worker in (guarded, open_to_all):
            await worker.ready()
            for path in (*AMBIGUOUS, *of_another):
                if path.isascii():
                    answer = await worker.ask(path, ROW, signed("secret-one", ROW, path=path))
                    assert answer.status == 400, path
        assert (
            await guarded.ask("/invocations", ROW, signed("secret-one", ROW, path="/invocations"))
        ).status == 400
        assert (await open_to_all.ask("/invocations", ROW, {"content-type": "text/csv"})).status == 200
        for query in ("?b=1&a=+&a=%2f", "?&&x"):
            headers = signed("secret-one", ROW, path=PATH + query)
            assert (await guarded.ask(PATH + query, ROW, headers)).status == 200

    workers.run(test())


def test_the_service_is_named_as_the_client_names_it() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker-runtime")
    assert model.signing_name == "sagemaker"
