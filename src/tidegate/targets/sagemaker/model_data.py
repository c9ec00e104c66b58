"""Model data: where it is at AWS, and what must be uploaded. Keys contain the content's digest.

An object that is overwritten would make a mixed fleet: scaling out downloads again."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from tidegate.domain.errors import ArtifactError, MissingArtifact
from tidegate.domain.registry import MULTI_MODEL, ContainerDefinition
from tidegate.targets.sagemaker import limits
from tidegate.targets.sagemaker.calls import Findings, LocalData, Params, Upload
from tidegate.targets.sagemaker.options import SagemakerOptions

ARCHIVES = (".tar.gz", ".tgz")
_BLOCK = 1 << 20


def measure(address: str) -> LocalData:
    """Read local model data completely. Raises ArtifactError."""
    path = Path(unquote(address.removeprefix("file://")))
    try:
        if path.is_dir():
            return _measure_folder(path)
        return LocalData(str(path), _digest_of(path), path.stat().st_size)
    except FileNotFoundError:
        raise MissingArtifact(f"{path}: no such file or folder") from None
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}") from None


def files_of(data: LocalData) -> list[tuple[str, Path]]:
    """Relative name and path of each file."""
    path = Path(data.path)
    if not data.folder:
        return [(path.name, path)]
    return [(str(one.relative_to(path)), one) for one in sorted(path.rglob("*")) if one.is_file()]


def _measure_folder(path: Path) -> LocalData:
    whole, size = hashlib.sha256(), 0
    for inner in sorted(path.rglob("*")):
        if inner.is_file():
            whole.update(f"{inner.relative_to(path)}\0{_digest_of(inner)}\n".encode())
            size += inner.stat().st_size
    if not size:
        raise ArtifactError(f"{path}: the folder has no files")
    return LocalData(str(path), whole.hexdigest(), size, folder=True)


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def place(
    endpoint: str,
    container: ContainerDefinition,
    local: Mapping[str, LocalData],
    options: SagemakerOptions,
    found: Findings,
) -> tuple[Params, Upload | None]:
    """The members of a container that name its model data, and the upload that this needs."""
    address = container.data_url
    if address is None:
        return {}, None
    if address.startswith("s3://"):
        return _members(address, container.mode == MULTI_MODEL, found), None
    data = local.get(address)
    if data is None:
        found.refuse(f"model data {address}: was not measured on this machine")
        return {}, None
    if not options.bucket:
        found.refuse(f"model data {data.path} is on this machine: set the option bucket, to which it is uploaded")
        return {}, None
    # A plain file keeps its name, by which runtimes recognise it; so it lies below a prefix of its own.
    name = "" if data.folder else Path(data.path).name
    key = f"{options.prefix}/{endpoint}/{data.sha256[:32]}/{name}"
    upload = Upload(data.path, options.bucket, key, data.sha256, data.size)
    return _members(f"s3://{options.bucket}/{key}", container.mode == MULTI_MODEL, found), upload


def _members(address: str, multi_model: bool, found: Findings) -> Params:
    if len(address) > limits.MODEL_URL:
        found.refuse(f"model data {address[:60]}...: longer than {limits.MODEL_URL} characters")
    if multi_model:
        found.note(
            f"{address}: models may be added below it at any time; to replace one, deploy again, since loaded copies"
            " are not looked at again"
        )
        return {"ModelDataUrl": address if address.endswith("/") else f"{address}/"}
    if address.endswith(ARCHIVES):
        return {"ModelDataUrl": address}
    kind = "S3Prefix" if address.endswith("/") else "S3Object"
    source = {"S3Uri": address, "S3DataType": kind, "CompressionType": "None"}
    return {"ModelDataSource": {"S3DataSource": source}}
