"""Models that a container of the user's or a service serves: keys of a spec."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tidegate import spec
from tidegate.domain.errors import Invalid
from tidegate.domain.registry import Protocol, SecretReference, Upstream
from tidegate.spec.render import render_model

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE = "ghcr.example/team/fraud:1.4"
SERVICE = "http://fraud.internal:8000"


def parse(model: dict[str, Any]) -> tuple[str, Upstream | None]:
    (container,) = spec.parse({"endpoint": "e", "model": model}, NOW).models[0].containers
    return container.image, container.upstream


def test_a_container_has_the_contract_of_sagemaker_unless_keys_say_otherwise() -> None:
    assert parse({"container": IMAGE}) == (IMAGE, Upstream())
    model = {"container": IMAGE, "port": 8000, "health": "/healthz", "predict": "/predict", "arguments": ["--x"]}
    expected = Upstream(port=8000, health="/healthz", predict="/predict", arguments=("--x",))
    assert parse(model) == (IMAGE, expected)


def test_a_service_has_headers_with_secrets_and_may_have_replicas() -> None:
    headers = {"Authorization": {"secret": "fraud-token"}, "X-Team": "risk"}
    found = parse({"url": SERVICE, "headers": headers, "protocol": "v2", "prediction": "$.scores[0]"})
    secret = SecretReference("fraud-token")
    reached = Upstream(
        url=SERVICE,
        headers={"Authorization": secret, "X-Team": "risk"},
        protocol=Protocol.V2,
        prediction="$.scores[0]",
    )
    assert found == ("tidegate/service", reached)
    assert parse({"url": [SERVICE, "https://other"]})[1] == Upstream(url=f"{SERVICE},https://other")


@pytest.mark.parametrize(
    "model",
    [
        {"container": IMAGE},
        {"container": IMAGE, "port": 8000, "arguments": ["--model", "x"], "data": "s3://models/fraud/"},
        {"url": [SERVICE, "https://other"], "headers": {"Authorization": {"secret": "t"}}, "protocol": "openai"},
    ],
)
def test_what_is_deployed_renders_as_the_same_keys(model: dict[str, Any]) -> None:
    assert render_model(spec.parse({"endpoint": "e", "model": model}, NOW).models[0]) == {"model": model}


def test_versions_differ_by_how_the_server_is_reached() -> None:
    models = [{"container": IMAGE}, {"container": IMAGE, "port": 1}, {"url": SERVICE}, {"url": f"{SERVICE}/v2"}]
    names = [spec.parse({"endpoint": "e", "model": model}, NOW).models[0].name for model in models]
    assert len(set(names)) == len(models)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"container": IMAGE, "url": SERVICE}, "model.url: give either container or url"),
        ({"container": IMAGE, "image": "tidegate/xgboost"}, "model.image: give either container or image"),
        ({"container": "no image"}, "model.container: 'no image' is not the name of a container image"),
        ({"container": IMAGE, "port": 0x10000}, "model.port: 65536: must be 1 to 65535"),
        ({"container": IMAGE, "health": "healthz"}, "model.health: 'healthz': expected a path"),
        ({"image": "tidegate/xgboost", "port": 80}, "model.port: is a key of a model that has container or url"),
        ({"image": "tidegate/xgboost", "protocol": "v2"}, "model.protocol: is a key of a model that has"),
        ({"url": "fraud:8000"}, "model.url: 'fraud:8000': expected http://HOST"),
        ({"url": "http://user:word@fraud"}, "model.url: .* expected http://HOST"),
        ({"url": SERVICE, "data": "s3://b/k"}, "model.data: a service that runs already has its model data"),
        ({"url": SERVICE, "arguments": ["x"]}, "model.arguments: is a key of a container"),
        ({"url": SERVICE, "headers": {"Host": "x"}}, "model.headers.Host: is not a header that can be set"),
        ({"url": SERVICE, "headers": {"X": "a\r\nb"}}, "model.headers.X: the value has characters"),
        ({"url": SERVICE, "headers": {"X": {"secret": "../keys"}}}, "model.headers.X.secret: '../keys'"),
        ({"url": SERVICE, "prediction": "scores"}, "model.prediction: 'scores' is no path of a prediction"),
        ({"url": SERVICE, "protocol": "v3"}, "model.protocol"),
    ],
)
def test_keys_that_do_not_belong_together_are_refused(model: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        spec.parse({"endpoint": "e", "model": model}, NOW)


def test_gpus_are_the_devices_of_an_instance() -> None:
    def devices(**keys: Any) -> int:
        given = {"endpoint": "e", "model": {"container": IMAGE, "gpus": 2}, **keys}
        return spec.parse(given, NOW).config.variants[0].devices

    assert devices() == 2
    assert devices(devices=2) == 2
    with pytest.raises(Invalid, match="devices: 1, and gpus of the model is 2"):
        devices(devices=1)


def test_a_service_is_not_scaled_from_here() -> None:
    scaled = {"autoscaling": {"min": 1, "max": 4, "target": 100}}
    with pytest.raises(Invalid, match="autoscaling: a service that runs already is not scaled from here"):
        spec.parse({"endpoint": "e", "model": {"url": SERVICE}, **scaled}, NOW)
    assert spec.parse({"endpoint": "e", "model": {"container": IMAGE}, **scaled}, NOW).autoscaling is not None


@pytest.mark.parametrize(
    "url", ["http://fraud:65536", "http://fraud:0", "http://fraud:x", "http://", "http://fraud?a=1"]
)
def test_what_is_no_address_of_a_service_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match=r"model.url: .* expected http://HOST"):
        spec.parse({"endpoint": "e", "model": {"url": url}}, NOW)
