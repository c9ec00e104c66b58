"""Describe the desired version of a fleet: package, configuration, tags. This builds the package, which takes
seconds."""

import asyncio
import hashlib
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.domain.errors import Invalid, TargetRefused
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.serving.artifacts.fetch import Policy, materialise
from tidegate.serving.aws_lambda.replies import VARIABLE
from tidegate.serving.aws_lambda.start import CONFIG, FLEET
from tidegate.serving.contract import images
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.images import ImageTable
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, encode
from tidegate.settings import Settings
from tidegate.targets.aws.client import Calls
from tidegate.targets.aws.ownership import owner_tags
from tidegate.targets.aws_lambda import distributions
from tidegate.targets.aws_lambda.options import LEAST_MEMORY, MOST_MEMORY, AwsLambdaOptions, function_name
from tidegate.targets.aws_lambda.versions import IMAGE, MODEL, DesiredCode, DesiredVersion
from tidegate.targets.aws_lambda.zip_package import (
    MODEL_FOLDER,
    ZipPackage,
    check_direct,
    check_unpacked,
    plan_entries,
    write_zip,
)
from tidegate.targets.containers import (
    check_container,
    check_without_router,
    file_roots,
    granted_environment,
    serving_mode,
)

HANDLER = "tidegate.serving.aws_lambda.function.handle"
LARGEST_BODY = 6 * 1024 * 1024
"""Bytes of an event (Lambda's quota for synchronous invocations)."""
_MEGABYTE = 1024 * 1024


@dataclass
class Describer:
    """``folder``: where packages and model data lie. ``s3``: calls that upload packages."""

    settings: Settings
    options: AwsLambdaOptions
    images: ImageTable
    installation: str
    folder: Path
    calls: Calls
    _uploaded: set[str] = field(default_factory=set)
    _packages: dict[FleetId, ZipPackage] = field(default_factory=dict)
    """Of fleets that are being published: it takes seconds to find out that one is there already."""

    async def describe(self, fleet: FleetSpec, fence: int) -> DesiredVersion:
        """Describe the desired version of a fleet. Raises TargetRefused, ArtifactError or Transient."""
        options = self.options
        check_fleet(fleet)
        code = DesiredCode({"ImageUri": options.image_uri}, image=options.image_uri)
        if options.package == "zip":
            package = self._packages.get(fleet.id)
            if package is None or not package.path.exists():
                package = self._packages[fleet.id] = await asyncio.to_thread(self._build, fleet)
            code = await self._upload(package)
        serverless = fleet.variant.serverless
        return DesiredVersion(
            fleet=fleet.id,
            function=function_name(options, fleet.id.endpoint),
            config=fleet.config_name,
            count=fleet.count,
            fence=fence,
            code=code,
            configuration=configuration(options, fleet),
            creation=creation(options, owner_tags(self.installation, fleet.id.endpoint)),
            provisioned=serverless.provisioned if serverless is not None else 0,
        )

    def prune(self, fleets: Collection[FleetId]) -> None:
        """Remove model data and packages of all other fleets."""
        self._packages = {id: package for id, package in self._packages.items() if id in fleets}
        kept = {package.path for package in self._packages.values()}
        for path in (self.folder / "packages").glob("*"):
            if path not in kept:
                path.unlink(missing_ok=True)
        names = {str(id) for id in fleets}
        for path in (self.folder / "models").glob("*/*/*"):
            if path.relative_to(self.folder / "models").as_posix() not in names:
                shutil.rmtree(path, ignore_errors=True)

    def _build(self, fleet: FleetSpec) -> ZipPackage:
        model = fleet.variant.model
        folder = self.folder / "models" / str(fleet.id)
        for number, container in enumerate(model.containers):
            check_container(container, self.images, self.settings)
            policy = Policy(file_roots(self.settings), self.settings.s3_endpoint, self.settings.region)
            if container.data_url is not None:
                materialise(container.data_url, folder / str(number), policy)
        needed = list(
            {
                one.name: one for extra in extras(model, self.images) for one in distributions.collect(extra)
            }.values()
        )
        spec = replica_spec(fleet, self.images, self.settings)
        entries = plan_entries(encode(spec), folder, needed)
        return write_zip(entries, self.folder / "packages", check_unpacked(entries, needed))

    async def _upload(self, package: ZipPackage) -> DesiredCode:
        if not self.options.code_bucket:
            check_direct(package)
            body = await asyncio.to_thread(package.path.read_bytes)
            return DesiredCode({"ZipFile": body}, package.sha256)
        key = f"tidegate/{package.path.name}"
        place: dict[str, object] = {"Bucket": self.options.code_bucket, "Key": key}
        if key not in self._uploaded:
            body = await asyncio.to_thread(package.path.read_bytes)
            await self.calls.call("s3", "PutObject", {**place, "Body": body})
            self._uploaded.add(key)
        return DesiredCode({"S3Bucket": self.options.code_bucket, "S3Key": key}, package.sha256)


def check_fleet(fleet: FleetSpec) -> None:
    """Check that a function can be this fleet. Raises TargetRefused if it cannot."""
    variant = fleet.variant
    if variant.shadow or fleet.mirror is not None:
        raise TargetRefused("Lambda copies no requests: a shadow variant needs another target")
    if variant.asynchronous is not None:
        raise TargetRefused(
            "Lambda has queues of its own: give the function a trigger of SQS, or take another target"
        )
    check_without_router(variant)
    if variant.model.multi_model:
        raise TargetRefused("a function serves the models of its package: Mode MultiModel needs another target")


def configuration(options: AwsLambdaOptions, fleet: FleetSpec) -> dict[str, object]:
    """Members of UpdateFunctionConfiguration that belong to a fleet. Raises TargetRefused."""
    variables = {FLEET: str(fleet.id), CONFIG: fleet.config_name}
    if options.results:
        variables[VARIABLE] = options.results
    if options.package == "image":
        variables |= {IMAGE: options.image_uri, MODEL: model_digest(fleet.variant.model)}
    made: dict[str, object] = {
        "Role": options.role,
        "MemorySize": memory_size(options, fleet),
        "Timeout": options.timeout,
        "Environment": {"Variables": variables},
    }
    if options.package == "zip":
        made |= {"Runtime": distributions.runtime_name(), "Handler": HANDLER, "Layers": list(options.layers)}
    return made


def model_digest(model: Model) -> str:
    parts = [[one.image, one.data_url, sorted(one.environment.items())] for one in model.containers]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def creation(options: AwsLambdaOptions, tags: Mapping[str, str]) -> dict[str, object]:
    """Members of CreateFunction that do not change later."""
    return {
        "PackageType": "Zip" if options.package == "zip" else "Image",
        "Architectures": [distributions.architecture()],
        "Description": "Model function of tidegate",
        "Tags": dict(tags),
        "Publish": False,
    }


def memory_size(options: AwsLambdaOptions, fleet: FleetSpec) -> int:
    """Megabytes: of the spec's serverless section or its memory limit, else the target's own."""
    variant = fleet.variant
    size = variant.serverless.memory if variant.serverless is not None else variant.memory_limit
    if not size:
        return options.memory
    megabytes = -(-size // _MEGABYTE)
    if not LEAST_MEMORY <= megabytes <= MOST_MEMORY:
        raise TargetRefused(
            f"variant {variant.name} asks for {megabytes} MB, and a function has {LEAST_MEMORY} to {MOST_MEMORY} MB"
        )
    return megabytes


def extras(model: Model, table: ImageTable) -> list[str]:
    """The extras of tidegate that the model's runtimes need. Raises TargetRefused."""
    found = []
    for container in model.containers:
        kind = images.resolve_container(container, table).kind
        if kind.descriptor.outside:
            raise TargetRefused(
                f"image {container.image!r} is a {kind}, which a zip package cannot have: use `package: image`"
            )
        found.append(_chosen_extra(container, kind))
    return found


def _chosen_extra(container: ContainerDefinition, kind: RuntimeKind) -> str:
    if kind is RuntimeKind.AUTO:
        raise TargetRefused(
            f"image {container.image!r} chooses its runtime when it starts, and a package must have its libraries"
            " before: name the runtime, such as tidegate/xgboost"
        )
    return kind.descriptor.extra


def replica_spec(fleet: FleetSpec, table: ImageTable, settings: Settings) -> ReplicaSpec:
    """Return the specification that the function starts with. The fleet's id and config are variables of its version,
    so that an equal model is an equal package. Raises Invalid."""
    model = fleet.variant.model
    containers = []
    for number, (name, container) in enumerate(zip(model.container_names, model.containers, strict=True)):
        runtime = images.resolve_container(container, table)
        if runtime.kind in (RuntimeKind.CONTAINER, RuntimeKind.SERVICE):
            raise TargetRefused(
                f"image {container.image!r} is a {runtime.kind}: a Lambda function runs no container beside its own"
                " program, and fronts no service; take target local, kubernetes or ecs"
            )
        environment = granted_environment(container, runtime.kind, table, settings)
        folder = f"{MODEL_FOLDER}/{number}"
        containers.append(ContainerSpec(name=name, runtime=runtime, model_dir=folder, environment=environment))
    if not containers:
        raise Invalid(f"model {model.name} has no container")
    return ReplicaSpec(
        replica="function",
        fleet=FleetId(fleet.id.endpoint, 0, fleet.id.variant),
        config_name="",
        containers=tuple(containers),
        socket="",
        serving=serving_mode(model),
        account=settings.account,
        region=settings.region,
        max_body=min(settings.max_body, LARGEST_BODY),
        invocation_timeout=float(settings.invocation_timeout),
        stream_timeout=settings.stream_timeout,
        startup_timeout=fleet.variant.startup_timeout,
    )
