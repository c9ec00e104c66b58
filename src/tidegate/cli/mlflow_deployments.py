"""MLflow's plugin for deployments: ``mlflow deployments create -t tidegate``. MLflow alone imports this module.

The model is uploaded to the server, and ``config`` is the rest of a spec file: its keys, by their paths.
"""

import gzip
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from mlflow.artifacts import download_artifacts
from mlflow.deployments import BaseDeploymentClient, PredictionsResponse
from mlflow.exceptions import MlflowException

from tidegate import spec
from tidegate.cli.client import ApiClient, ServerError
from tidegate.cli.follow_rollout import follow_silently
from tidegate.cli.output import user_name
from tidegate.cli.spec_file import read_spec
from tidegate.domain.errors import Invalid, TidegateError
from tidegate.spec.sections import spec_file
from tidegate.spec.structures import RolloutSpec

HELP = """\
Deploys MLflow models to a tidegate server: the one at TIDEGATE_URL (http://127.0.0.1:8471 unless set) with
-t tidegate, or another one with -t tidegate://HOST:PORT. Where it has keys, requests are signed with
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

The config is the rest of a spec file ('tidegate spec explain KEY' tells what each key means), by paths:

  mlflow deployments create -t tidegate --name fraud -m models:/fraud/1 -C instances=2
  mlflow deployments update -t tidegate --name fraud -m models:/fraud/2 -C instances=2 \\
    -C strategy=canary -C size=10% -C wait=30m \\
    -C 'alarms={errors: {metric: Invocation5XXErrors, statistic: Average, above: 2%}}'

  spec=FILE        a spec file that the other keys change; its model is replaced
  follow=false     return at once; otherwise an update that is rolled back fails with the reason
  override=true    roll out a version that alarms turned down before
  supersede=true   give up an update that is under way
  force=true       delete in the middle of a rollout

Most MLflow models hold pickles, which the server has to allow: -C model.environment.TIDEGATE_TRUST=pickle
"""
SWITCHES = ("follow", "override", "supersede", "force")
SHORT = tuple(
    field.encode_name
    for field in msgspec.structs.fields(RolloutSpec)
    if field.encode_name not in spec_file().__struct_encode_fields__
)
"""Keys of ``rollout`` that need no ``rollout.`` in front."""
Config = Mapping[str, Any]


def target_help() -> str:
    return HELP


def run_local(
    target: str, name: str, model_uri: str, flavor: str | None = None, config: Config | None = None
) -> None:
    """tidegate runs on this machine anyway."""
    TidegateDeployments(target).create_deployment(name, model_uri, flavor, config)


class TidegateDeployments(BaseDeploymentClient):  # type: ignore[misc] # MLflow has no types
    """A deployment is an endpoint of the server."""

    def __init__(self, target_uri: str) -> None:
        super().__init__(target_uri)
        _, separator, address = target_uri.partition("://")
        environ = {**os.environ, "TIDEGATE_URL": f"http://{address}"} if separator else os.environ
        with _as_mlflow_errors():
            self._server = ApiClient(environ)

    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: Config | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        with _as_mlflow_errors():
            if _find(self._server, name) is not None:
                raise Invalid(f'there is a deployment "{name}" already: update it')
            return self._deploy(name, model_uri, flavor, config or {})

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Config | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Update a deployment. Without ``model_uri`` the model that serves stays and gets another config."""
        with _as_mlflow_errors():
            if _find(self._server, name) is None:
                raise Invalid(f'there is no deployment "{name}": create it')
            return self._deploy(name, model_uri, flavor, config or {})

    def delete_deployment(self, name: str, config: Config | None = None, endpoint: str | None = None) -> None:
        """Returns once the endpoint takes no new requests; nothing happens if there is none."""
        with _as_mlflow_errors():
            switches = read_config(config or {})[1]
            if _find(self._server, name) is not None:
                self._server.delete(name, user_name(), force=switches.get("force", False))

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        with _as_mlflow_errors():
            return self._server.endpoints()

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        with _as_mlflow_errors():
            return self._server.endpoint(name)

    def predict(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> PredictionsResponse:
        """Invoke a deployment. ``inputs`` is a DataFrame, or what the scoring server takes as JSON, such as
        ``{"inputs": ...}``."""
        body = json.dumps(_scoring_request(inputs)).encode()
        with _as_mlflow_errors():
            answer = self._server.invoke(
                deployment_name or endpoint or "", body, {"Content-Type": "application/json"}
            )
            text = answer.body.decode(errors="replace")
            if answer.status != 200:
                raise Invalid(f"the deployment answered {answer.status}: {text}")
        return PredictionsResponse.from_json(text)

    def _deploy(self, name: str, model_uri: str | None, flavor: str | None, config: Config) -> dict[str, Any]:
        if flavor not in (None, "python_function"):
            raise Invalid(f"flavor {flavor!r} is not served: leave it out, or say python_function")
        wanted, switches = read_config(config)
        more = wanted.get("model") or {}
        if not isinstance(more, dict):
            raise Invalid(f"config model={more!r}: expected keys and values, such as model.environment.NAME=VALUE")
        if unknown := set(more) & {"data", "fingerprint"}:
            raise Invalid(f"model.{min(unknown)} comes from the model's URI: leave it out of the config")
        model = self._serving_model(name) if model_uri is None else self._upload(model_uri)
        given = {**wanted, "endpoint": name, "model": {**model, **more}}
        done = self._server.deploy(
            given,
            user_name(),
            override=switches.get("override", False),
            supersede=switches.get("supersede", False),
        )
        if switches.get("follow", True):
            follow_silently(self._server, name, done["config"])
        return {"name": name, "flavor": "python_function", **done}

    def _upload(self, model_uri: str) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="tg-") as folder:
            local = Path(download_artifacts(artifact_uri=model_uri, dst_path=folder))
            if not (local / "MLmodel").is_file():
                raise Invalid(f"{model_uri} is not an MLflow model: it has no file MLmodel")
            return {"image": "tidegate/mlflow", "data": self._server.upload("model.tar.gz", pack(local))}

    def _serving_model(self, name: str) -> dict[str, Any]:
        config = self._server.describe("DescribeEndpoint", EndpointName=name)["EndpointConfigName"]
        variants = self._server.describe("DescribeEndpointConfig", EndpointConfigName=config)["ProductionVariants"]
        found = self._server.describe("DescribeModel", ModelName=variants[0]["ModelName"])
        container = found.get("PrimaryContainer")
        if len(variants) != 1 or container is None:
            raise Invalid(f'deployment "{name}" has several models: say which one is new by the model\'s URI')
        environment = container.get("Environment", {})
        return {"image": container["Image"], "data": container["ModelDataUrl"], "environment": environment}


def read_config(config: Config) -> tuple[dict[str, Any], dict[str, bool]]:
    """A spec without its model's data, and the switches. Text is read as YAML, as all values of ``-C`` are text."""
    values = {key: _read_value(key, value) for key, value in config.items()}
    switches = {key: values.pop(key) for key in SWITCHES if key in values}
    for key, value in switches.items():
        if not isinstance(value, bool):
            raise Invalid(f"config {key}={value!r}: expected true or false")
    base = values.pop("spec", None)
    wanted = {} if base is None else _read_base(Path(str(base)))
    for key, value in values.items():
        _set(wanted, ["rollout", key] if key in SHORT else key.split("."), key, value)
    return wanted, switches


def _read_base(path: Path) -> dict[str, Any]:
    data = spec.resolve(read_spec(path).data, str(path.parent.absolute()), str(Path.home()))
    if not isinstance(data, dict):
        raise Invalid(f"{path}: expected the keys of a spec file")
    several = sorted({"pipeline", "containers", "variants", "shadow"} & set(data))
    if several:
        raise Invalid(f"{path}: {several[0]} cannot be deployed by MLflow, which knows one model")
    model = data.get("model")
    kept = {key: value for key, value in model.items() if key == "environment"} if isinstance(model, dict) else {}
    return {**data, "model": kept}


def _read_value(key: str, value: Any) -> Any:
    if not isinstance(value, str) or not value.strip():
        return value
    return spec.load(value, f"config {key}").data


def _set(wanted: dict[str, Any], path: list[str], key: str, value: Any) -> None:
    inner = wanted
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
        if not isinstance(inner, dict):
            raise Invalid(f"config {key}: {part} has a value of its own, so it has no keys")
    inner[path[-1]] = value


def pack(folder: Path) -> bytes:
    """A ``.tar.gz`` of the folder's content: the same content gives the same bytes, and so the same version."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path in sorted(folder.rglob("*")):
            archive.add(path, str(path.relative_to(folder)), recursive=False, filter=_without_owner)
    return packed.getvalue()


def _without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
    entry.mode = 0o755 if entry.isdir() else 0o644
    return entry


def _scoring_request(inputs: Any) -> Any:
    if hasattr(inputs, "to_dict"):
        return {"dataframe_split": json.loads(inputs.to_json(orient="split"))}
    if hasattr(inputs, "tolist"):
        return {"instances": inputs.tolist()}
    return inputs if isinstance(inputs, dict) else {"instances": inputs}


def _find(server: ApiClient, name: str) -> dict[str, Any] | None:
    try:
        return server.endpoint(name)
    except ServerError as error:
        if error.status == 404:
            return None
        raise


@contextmanager
def _as_mlflow_errors() -> Iterator[None]:
    try:
        yield
    except TidegateError as error:
        raise MlflowException(error.message) from None
