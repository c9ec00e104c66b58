"""Model data on the controller's machine, which pods cannot read: they are uploaded to an S3 that both can reach."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tidegate.domain.errors import ArtifactError, MissingArtifact, TargetRefused, Transient
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.registry import ContainerDefinition
from tidegate.storage.addresses import parse
from tidegate.storage.files import CHUNK, Roots, open_plain, resolve_existing, tag_of
from tidegate.storage.s3 import S3, Bucket
from tidegate.targets.kubernetes.options import KubernetesOptions
from tidegate.targets.kubernetes.start_data import is_on_volume


@dataclass
class ModelStore:
    """``roots``: folders of this machine that may be read; None: any. Equal data are stored once, under their
    digest, and are never removed: who they belong to is for the bucket's rules."""

    options: KubernetesOptions
    roots: Roots
    s3_endpoint: str
    region: str
    in_thread: Callable[..., Awaitable[Any]] = asyncio.to_thread
    _stored: dict[tuple[Path, str], str] = field(default_factory=dict)
    """File and its tag -> where its data are."""

    async def place(self, fleet: FleetSpec, before: FleetSpec | None) -> FleetSpec:
        """The fleet with data that pods can read. ``before``: the fleet as it was placed first: it keeps its data,
        whatever has become of the files. Raises TargetRefused, Transient."""
        model = fleet.variant.model
        known = before.variant.model.containers if before is not None else ()
        placed = []
        for number, container in enumerate(model.containers):
            if self._is_local(container):
                kept = known[number].data_url if number < len(known) else None
                address = kept or await self._upload(fleet, str(container.data_url))
                container = replace(container, data_url=address)
            placed.append(container)
        variant = replace(fleet.variant, model=replace(model, containers=tuple(placed)))
        return replace(fleet, variant=variant)

    def is_placed(self, fleet: FleetSpec) -> bool:
        """Whether no data of it are to be uploaded."""
        return not any(map(self._is_local, fleet.variant.model.containers))

    def _is_local(self, container: ContainerDefinition) -> bool:
        url = container.data_url or ""
        return bool(self.options.model_store) and url.startswith("file:") and not is_on_volume(url, self.options)

    async def _upload(self, fleet: FleetSpec, url: str) -> str:
        try:
            return str(await self.in_thread(self._store, url))
        except Transient as error:
            raise Transient(f"{fleet.id}: {url} cannot be uploaded now: {error}") from None
        except ArtifactError as error:
            raise TargetRefused(f"{fleet.id}: {url} cannot be uploaded: {error}") from None

    def _store(self, url: str) -> str:
        if url.endswith("/"):
            raise ArtifactError("it is a folder; pack it as .tar.gz")
        path = resolve_existing(Path(unquote(urlsplit(url).path)), self.roots)
        tag = tag_of(path.stat())
        if (path, tag) not in self._stored:
            self._stored[path, tag] = self._store_file(path, tag)
        return self._stored[path, tag]

    def _store_file(self, path: Path, tag: str) -> str:
        digest = hashlib.sha256()
        with open_plain(path, self.roots) as file:
            while part := file.read(CHUNK):
                digest.update(part)
        address = f"{self.options.model_store.rstrip('/')}/{digest.hexdigest()}/{path.name}"
        key = parse(address).path
        try:
            self._bucket.head(key)
        except MissingArtifact:
            self._bucket.upload(path, key)
            if tag_of(path.stat()) != tag:
                raise Transient("the file was changed during the upload") from None
        return address

    @cached_property
    def _bucket(self) -> Bucket:
        return S3(self.s3_endpoint, self.region).bucket(parse(self.options.model_store, prefix=True).bucket)
