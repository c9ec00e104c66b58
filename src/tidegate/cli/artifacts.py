"""Model data of a command's spec: whether it exists on this machine, its fingerprint, and its version in a
registry."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tidegate import spec
from tidegate.cli.output import client
from tidegate.domain.errors import Invalid
from tidegate.domain.registry_addresses import is_registry_address

HASHED_UP_TO = 64 * 1024 * 1024
"""Bytes; a larger file is identified by size and modification time, since reading it takes long."""


def fingerprint(path: Path) -> str:
    """Fingerprint of a file or folder, which changes whenever its content does."""
    if path.is_dir():
        digest = hashlib.sha256()
        for inner in sorted(path.rglob("*")):
            if inner.is_file():
                found = inner.stat()
                digest.update(f"{inner.relative_to(path)}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
        return f"tree-{digest.hexdigest()[:16]}"
    found = path.stat()
    if found.st_size > HASHED_UP_TO:
        return f"stat-{found.st_size}-{found.st_mtime_ns}"
    with path.open("rb") as file:
        return f"sha256-{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"


def prepare(loaded: spec.LoadedSpec, folder: Path, *, must_exist: bool) -> object:
    """The spec's plain data as sent to the server: absolute paths, and local model data with its fingerprint.

    ``must_exist``: the server is on this machine, so a missing file is an error here, with its line.
    """
    data = spec.resolve(loaded.data, str(folder.absolute()), str(Path.home()))
    for place, model in spec.artifacts(data):
        address = model.get("data")
        if not isinstance(address, str) or not address.startswith("file://"):
            continue
        where, path = (*place, "data"), Path(unquote(address.removeprefix("file://")))
        if "multi_model" in model:
            _check_folder(loaded, where, path, must_exist)
        elif "fingerprint" not in model:
            _add_fingerprint(loaded, where, model, path, must_exist)
    return data


def look_up_models(loaded: spec.LoadedSpec, data: object) -> object:
    """Put versions in place of addresses of registries, for commands that use the models themselves. The server looks
    them up, and is asked only if there are any. ``data``: of ``prepare``. Raises Invalid, or the server's error."""
    if not any(is_registry_address(str(model.get("data"))) for _, model in spec.artifacts(data)):
        return data
    loaded.wish(datetime.now(UTC), data)  # a mistake gets its line
    with client() as server:
        return server.diff(data)["spec"]


def address_model(address: str) -> spec.LoadedSpec:
    """Make a spec of the model that an address of a registry names."""
    return spec.LoadedSpec(address, {"endpoint": "model", "model": {"data": address}}, {})


def _check_folder(loaded: spec.LoadedSpec, place: tuple[str | int, ...], path: Path, must_exist: bool) -> None:
    """Check a folder of models. They come and go without a new version of the endpoint, so it has no fingerprint."""
    if must_exist and not path.is_dir():
        line = loaded.lines.get(place, 1)
        raise Invalid(
            f"{loaded.source}:{line}: {path} is not a folder; multi_model needs the folder of its models"
        )


def _add_fingerprint(
    loaded: spec.LoadedSpec, place: tuple[str | int, ...], model: dict[str, Any], path: Path, must_exist: bool
) -> None:
    try:
        model["fingerprint"] = fingerprint(path)
    except OSError as error:
        if must_exist:
            line = loaded.lines.get(place, 1)
            raise Invalid(f"{loaded.source}:{line}: model data {path}: {error.strerror}") from None
