"""A real server of the Open Inference Protocol behind an endpoint: MLServer with models of scikit-learn."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.scene import Scene
from tidegate.cli.client import ApiClient
from tidegate.host.platform import Platform, free_port, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
CLIENT = Path(__file__).parents[4] / ".clients" / "mlserver" / "bin"
TRAIN = """
import json, sys
import joblib, numpy as np, pandas as pd
from pathlib import Path
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

folder, rows = Path(sys.argv[1]), np.random.default_rng(1).normal(size=(200, 3))
frame = pd.DataFrame({"amount": rows[:, 0], "country": np.where(rows[:, 1] > 0, "de", "fr")})
columns = make_column_transformer((OneHotEncoder(), ["country"]), ("passthrough", ["amount"]))
made = {
    "matrix": (LinearRegression().fit(rows, rows @ [1, 2, 3]), rows[:4]),
    "wrong": (LinearRegression().fit(rows, rows @ [3, 2, 1]), rows[:4]),
    "columns": (make_pipeline(columns, LinearRegression()).fit(frame, rows[:, 0] + 2 * (rows[:, 1] > 0)), frame[:4]),
}
answers = {}
for name, (model, sample) in made.items():
    joblib.dump(model, folder / f"{name}.joblib")
    answers[name] = {"rows": np.asarray(sample).tolist(), "predictions": model.predict(sample).tolist()}
print(json.dumps(answers))
"""
MATRIX = [{"name": "input", "datatype": "FP64", "shape": [-1, 3]}]
COLUMNS = [
    {"name": "amount", "datatype": "FP64", "shape": [-1, 1]},
    {"name": "country", "datatype": "BYTES", "shape": [-1, 1], "parameters": {"content_type": "str"}},
]


class Served(NamedTuple):
    """``answers``: rows, and scikit-learn's own predictions of them, by the name of the model's file."""

    url: str
    answers: dict[str, Any]


def settings(name: str, file: str, version: str = "", inputs: Any = None, **parameters: str) -> dict[str, Any]:
    """A model as MLServer's ``model-settings.json`` has it."""
    about: dict[str, Any] = {"name": name, "implementation": "mlserver_sklearn.SKLearnModel"}
    about["parameters"] = {"uri": f"../{file}.joblib", **parameters} | ({"version": version} if version else {})
    return about | ({"inputs": inputs} if inputs else {})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if not (CLIENT / "mlserver").exists():
        pytest.skip("MLServer is not installed: make .clients/mlserver/.done")
    folder = tmp_path_factory.mktemp("mlserver")
    trained = subprocess.run(
        [CLIENT / "python", "-c", TRAIN, folder], capture_output=True, text=True, check=True, timeout=300
    )
    models = {
        "one": settings("fraud", "matrix", "1", MATRIX),
        "two": settings("fraud", "wrong", "2", MATRIX),
        "bare": settings("bare", "matrix"),
        "columns": settings("columns", "columns", inputs=COLUMNS, content_type="pd"),
    }
    for name, about in models.items():
        (folder / name).mkdir()
        (folder / name / "model-settings.json").write_text(json.dumps(about))
    ports = {f"{kind}_port": free_port() for kind in ("http", "grpc", "metrics")}
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, **ports}))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [CLIENT / "mlserver", "start", folder], cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{ports['http_port']}"
    try:
        wait_until(lambda: _is_ready(url), "MLServer", 120)
        yield Served(url, json.loads(trained.stdout))
    finally:
        process.terminate()
        process.wait(60)


def _is_ready(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/v2/health/ready").status_code == httpx.codes.OK
    return False


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Platform() as platform:
        yield Scene(platform)


def deploy(scene: Scene, served: Served, endpoint: str, predict: str = "") -> dict[str, Any]:
    """Deploy a model of the server, and return how the endpoint ends up."""
    model = {"url": served.url, "protocol": "v2"} | ({"predict": predict} if predict else {})
    with ApiClient({"TIDEGATE_URL": scene.platform.url}) as server:
        server.deploy({"endpoint": endpoint, "model": model}, "ann", override=False, supersede=False)
    return scene.settled(endpoint)


def invoke(scene: Scene, endpoint: str, body: str, content_type: str, accept: str = "application/json") -> str:
    answer = scene.runtime.invoke_endpoint(
        EndpointName=endpoint, Body=body, ContentType=content_type, Accept=accept
    )
    text: str = answer["Body"].read().decode()
    return text


def infer(scene: Scene, endpoint: str, inputs: list[dict[str, Any]]) -> list[float]:
    """The only output of a request of the protocol, under the name that scikit-learn's runtime gives it."""
    asked = {"inputs": inputs, "outputs": [{"name": "predict"}]}
    reply = httpx.post(f"{scene.platform.url}/v2/models/{endpoint}/infer", json=asked)
    assert reply.status_code == httpx.codes.OK, reply.text
    [output] = reply.json()["outputs"]
    assert output["name"] == "predict"
    found: list[float] = output["data"]
    return found


@pytest.mark.parametrize("model", ["fraud/versions/1", "bare"])
def test_rows_are_answered_as_by_scikit_learn(scene: Scene, served: Served, model: str) -> None:
    """``bare`` declares no inputs, as most models of MLServer."""
    endpoint = model.partition("/")[0]
    assert deploy(scene, served, endpoint, f"/v2/models/{model}/infer")["EndpointStatus"] == "InService"
    rows, wanted = served.answers["matrix"]["rows"], pytest.approx(served.answers["matrix"]["predictions"])
    lines = "\n".join(",".join(map(str, row)) for row in rows)
    assert json.loads(invoke(scene, endpoint, lines, "text/csv"))["predictions"] == wanted
    assert json.loads(invoke(scene, endpoint, json.dumps(rows), "application/json"))["predictions"] == wanted
    answered = invoke(scene, endpoint, lines, "text/csv", "text/csv")
    assert [float(line) for line in answered.split()] == wanted
    flat = [cell for row in rows for cell in row]
    assert infer(scene, endpoint, [{"name": "any", "datatype": "FP64", "shape": [4, 3], "data": flat}]) == wanted


def test_columns_are_matched_by_name(scene: Scene, served: Served) -> None:
    assert deploy(scene, served, "columns", "/v2/models/columns/infer")["EndpointStatus"] == "InService"
    rows, wanted = served.answers["columns"]["rows"], pytest.approx(served.answers["columns"]["predictions"])
    lines = "\n".join(["country,amount", *(f"{country},{amount}" for amount, country in rows)])
    assert json.loads(invoke(scene, "columns", lines, "text/csv"))["predictions"] == wanted
    split = {"columns": ["amount", "country"], "data": rows}
    answered = invoke(scene, "columns", json.dumps({"dataframe_split": split}), "application/json")
    assert json.loads(answered)["predictions"] == wanted
    amounts, countries = zip(*rows, strict=True)
    inputs = [
        {"name": "country", "datatype": "BYTES", "shape": [4], "data": countries},
        {"name": "amount", "datatype": "FP64", "shape": [4], "data": amounts},
    ]
    assert infer(scene, "columns", inputs) == wanted


def test_a_version_of_the_server_is_a_version_of_the_endpoint(scene: Scene, served: Served) -> None:
    row = ",".join(map(str, served.answers["wrong"]["rows"][0]))
    for version, name in (("1", "matrix"), ("2", "wrong")):
        deploy(scene, served, "versions", f"/v2/models/fraud/versions/{version}/infer")
        [found] = json.loads(invoke(scene, "versions", row, "text/csv"))["predictions"]
        assert found == pytest.approx(served.answers[name]["predictions"][0])


def test_what_the_server_refuses_is_the_clients_error(scene: Scene, served: Served) -> None:
    deploy(scene, served, "refusing", "/v2/models/fraud/infer")
    for body, said in (("1,2", "3"), ("a,b,c", "expected a number, got 'a'")):
        with pytest.raises(scene.runtime.exceptions.ModelError, match=said) as caught:
            invoke(scene, "refusing", body, "text/csv")
        assert caught.value.response["OriginalStatusCode"] == httpx.codes.BAD_REQUEST


def test_a_server_of_several_models_asks_for_a_name(scene: Scene, served: Served) -> None:
    ended = deploy(scene, served, "nameless")
    assert ended["EndpointStatus"] == "Failed"
    assert "models (bare, columns, fraud): name one by predict: /v2/models/NAME/infer" in ended["FailureReason"]
