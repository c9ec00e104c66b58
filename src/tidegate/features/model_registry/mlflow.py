"""A client of an MLflow tracking server's REST API (``/api/2.0/mlflow``). Methods block. Redirects are not followed,
and no message shows the header Authorization."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import httpx

from tidegate.domain.errors import Invalid, NotFound, PayloadTooLarge, Unavailable
from tidegate.features.model_registry.kinds import RegistryVersion

TIMEOUT = 10.0
COMMIT = "mlflow.source.git.commit"
"""MLflow's tag of a run with the commit of the code that made it."""
MOST_FILES = 10_000
"""Files of one model."""
_SHOWN = 200
"""Characters of the server's own error."""
Json = Mapping[str, Any]


class MlflowServer:
    """``authorization``: value of the header; empty: there is none. Raises Unavailable where another try may help,
    NotFound for what does not exist, and Invalid for all else."""

    def __init__(self, url: str, authorization: str) -> None:
        headers = {"Authorization": authorization} if authorization else {}
        self._url = url.rstrip("/")
        self._http = httpx.Client(base_url=self._url, headers=headers, timeout=TIMEOUT, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def find_alias(self, name: str, alias: str) -> Json:
        """The model version that an alias points to."""
        found = self._ask("GET", "registered-models/alias", {"name": name, "alias": alias})
        return _object(found, "model_version")

    def get_version(self, name: str, version: str) -> Json:
        return _object(self._ask("GET", "model-versions/get", {"name": name, "version": version}), "model_version")

    def describe(self, address: str, version: Json) -> RegistryVersion:
        """Find where a version came from. Its run may be gone."""
        run = str(version.get("run_id") or "")
        commit, data, metrics = "", list[str](), dict[str, float]()
        if run:
            try:
                told = _object(self._ask("GET", "runs/get", {"run_id": run}), "run")
            except NotFound:
                told = {}
            facts = told.get("data") or {}
            commit = next((str(one.get("value")) for one in facts.get("tags", ()) if one.get("key") == COMMIT), "")
            metrics = {str(one["key"]): float(one["value"]) for one in facts.get("metrics", ())}
            inputs = (told.get("inputs") or {}).get("dataset_inputs", ())
            data = [_name_data(one.get("dataset") or {}) for one in inputs]
        return RegistryVersion(address, run, commit, tuple(data), metrics)

    def find_artifacts(self, name: str, version: str) -> str:
        """The address of the version's files."""
        found = self._ask("GET", "model-versions/get-download-uri", {"name": name, "version": version})
        return str(found.get("artifact_uri") or "")

    def set_tag(self, name: str, version: str, key: str, value: str) -> None:
        self._ask("POST", "model-versions/set-tag", {"name": name, "version": version, "key": key, "value": value})

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self._ask("POST", "registered-models/alias", {"name": name, "alias": alias, "version": version})

    def download(self, root: str, into: Path, most: int) -> None:
        """Copy the files below a path of the server's own artifacts. ``most``: bytes. Raises PayloadTooLarge."""
        left, seen = most, 0
        for path in self._walk(root):
            inner = PurePosixPath(path).relative_to(root)
            if ".." in inner.parts or (seen := seen + 1) > MOST_FILES:
                raise Invalid(
                    f"the files of the model at {root} have no usable names, or are more than {MOST_FILES}"
                )
            target = into / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._translate(), self._http.stream("GET", f"{_ARTIFACTS}/{quote(path)}") as reply:
                _check(reply)
                with target.open("wb") as file:
                    for part in reply.iter_bytes():
                        left -= len(part)
                        if left < 0:
                            raise PayloadTooLarge(
                                f"the model at {root} does not fit: uploads and models of registries may have"
                                " TIDEGATE_UPLOAD_BYTES together"
                            )
                        file.write(part)

    def _walk(self, folder: str) -> Iterator[str]:
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            with self._translate():
                reply = self._http.get(_ARTIFACTS, params={"path": here})
                found = _check(reply)
            for one in found.get("files", ()):
                path = f"{here.rstrip('/')}/{PurePosixPath(str(one['path'])).name}"
                if one.get("is_dir"):
                    waiting.append(path)
                else:
                    yield path

    def _ask(self, method: str, path: str, given: Json) -> Json:
        with self._translate():
            sent = {"params": dict(given)} if method == "GET" else {"json": dict(given)}
            return _check(self._http.request(method, f"/api/2.0/mlflow/{path}", **sent))  # type: ignore[arg-type]

    @contextmanager
    def _translate(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the MLflow server at {self._url} does not answer ({type(error).__name__})"
            ) from None


_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


def _check(reply: httpx.Response) -> Json:
    """The JSON object of an answer; of one that is streamed nothing is read unless it is an error."""
    if reply.status_code == 200 and reply.headers.get("content-type", "").startswith("application/json"):
        return _parse(reply) if reply.is_closed else {}
    if reply.status_code == 200:
        return {}
    reply.read()
    told = _parse(reply)
    why = " ".join(str(told.get("message") or "").split())[:_SHOWN]
    said = f"the MLflow server answered {reply.status_code}{f': {why}' if why else ''}"
    missing = ("RESOURCE_DOES_NOT_EXIST",)
    if reply.status_code == 404 or told.get("error_code") in missing or "not found" in why.lower():
        raise NotFound(said)
    if reply.status_code in (401, 403):
        raise Invalid(f"{said}: put the value of the header Authorization into the secret mlflow-authorization")
    if reply.status_code >= 500 or reply.status_code == 429:
        raise Unavailable(said)
    raise Invalid(said)


def _parse(reply: httpx.Response) -> Json:
    try:
        found = json.loads(reply.content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _object(found: Json, key: str) -> Json:
    value = found.get(key)
    if not isinstance(value, dict):
        raise Unavailable(f"the MLflow server's answer has no {key}")
    return value


def _name_data(given: Json) -> str:
    return f"{given.get('name') or 'data'} ({given.get('digest') or 'no digest'})"
