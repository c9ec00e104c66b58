"""The models that scoring processes run: a model from a path, from a spec, or the one that an endpoint serves."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid, NotFound
from tidegate.domain.fleet import FleetId
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.features.evidence.replay.scoring.exchange import TOGETHER
from tidegate.serving.contract import images, trust
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.settings import Settings
from tidegate.spec.upstream import SERVICE_IMAGE
from tidegate.targets.containers import check_container, granted_environment, image_table, serving_mode
from tidegate.targets.start_spec import secrets_folder, service_hosts

AUTO = "tidegate/auto"


def model_at(path: Path, settings: Settings, now: datetime) -> Model:
    """Make a model of model data alone, which chooses the runtime. It may do what ``TIDEGATE_TRUST`` of this command
    allows. Raises Invalid."""
    if not path.exists():
        raise Invalid(f"{path}: there is no such file or folder: expected model data, or a spec (.yaml)")
    place = path.absolute()
    url = place.as_uri() + ("/" if place.is_dir() else "")
    environment = {trust.TRUST: ",".join(sorted(settings.trust))} if settings.trust else {}
    return Model(path.name, (ContainerDefinition(AUTO, url, environment),), now)


def model_of_spec(wish: DesiredDeployment, variant: str, source: str) -> Model:
    """Return the model of the variant with this name; empty: of the only one that answers clients. Raises Invalid."""
    names = [one.name for one in wish.config.variants]
    chosen = variant or (names[0] if len(names) == 1 else "")
    for one in wish.config.variants:
        if one.name == chosen:
            return next(model for model in wish.models if model.name == one.model_name)
    raise Invalid(f"{source}: say by --with variant=NAME which one is meant: {', '.join(names)}")


def serving_entry(history: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the version of an endpoint that serves, from its history. Raises NotFound."""
    for entry in history:
        if entry["state"] == "Serving":
            return entry
    raise NotFound(f"endpoint {name} has no version that serves")


def serving_variant(entry: Mapping[str, Any], variant: str, name: str) -> str:
    """Return the name of a version's variant. ``variant``: its name; empty: the only one that answers clients. Raises
    Invalid."""
    names = [one["name"] for one in entry["variants"] if not one["shadow"]]
    if variant in names:
        return variant
    if not variant and len(names) == 1:
        return str(names[0])
    raise Invalid(f"endpoint {name}: say by --with variant=NAME which one is meant: {', '.join(names)}")


def served_model(described: Mapping[str, Any], digests: list[str], now: datetime) -> Model:
    """Return the model that DescribeModel answered, with the model data that was kept under ``digests``. Raises
    Invalid for a service: AWS's API does not say where it is."""
    single = "PrimaryContainer" in described
    given = [described["PrimaryContainer"]] if single else described["Containers"]
    if any(one["Image"] == SERVICE_IMAGE for one in given):
        raise Invalid(f"model {described['ModelName']} is a service: compare spec files with its addresses")
    containers = tuple(
        ContainerDefinition(
            image=one["Image"],
            data_url=one.get("ModelDataUrl"),
            environment=dict(one.get("Environment", {})),
            hostname=one.get("ContainerHostname"),
            mode=one.get("Mode", "SingleModel"),
            artifact=digest or None,
        )
        for one, digest in zip(given, digests, strict=True)
    )
    execution = described.get("InferenceExecutionConfig", {}).get("Mode", "Serial")
    return Model(described["ModelName"], containers, now, execution_mode=execution, single=single)


def make_replica(
    model: Model,
    settings: Settings,
    folder: Path,
    artifacts: Path | None,
    file_roots: tuple[str, ...] | None = None,
) -> ReplicaSpec:
    """Make the replica that scores. ``folder``: for its files. ``artifacts``: where kept model data lies.
    ``file_roots``: folders that ``file://`` may lead into, beside that one; None: any, which is for a command. Raises
    Invalid for a model that answers nothing by itself, or that may not do what it asks for."""
    if model.multi_model or (model.execution_mode == "Direct" and not model.single):
        raise Invalid(f"model {model.name} is several models, and one is compared: name the data of one")
    table = image_table(settings)
    containers = []
    for number, (name, container) in enumerate(zip(model.container_names, model.containers, strict=True), 1):
        check_container(container, table, settings)
        runtime = images.resolve_container(container, table)
        containers.append(
            ContainerSpec(
                name=name,
                runtime=runtime,
                model_dir=str(folder / f"model{number}"),
                data_url=_address(container, artifacts),
                environment=granted_environment(container, runtime.kind, table, settings),
            )
        )
    return ReplicaSpec(
        replica="scoring",
        fleet=FleetId("scoring", 1, "AllTraffic"),
        config_name="scoring",
        containers=tuple(containers),
        socket=str(folder / "s"),
        serving=serving_mode(model),
        account=settings.account,
        region=settings.region,
        max_body=settings.max_body,
        invocation_timeout=float(settings.invocation_timeout) * TOGETHER,  # waiting for the others counts
        s3_endpoint=settings.s3_endpoint,
        file_roots=_readable(model, file_roots, artifacts),
        service_hosts=service_hosts(settings),
        secrets=secrets_folder(settings),
    )


def _readable(model: Model, roots: tuple[str, ...] | None, artifacts: Path | None) -> tuple[str, ...] | None:
    kept = any(container.artifact for container in model.containers)
    return (*roots, str(artifacts.absolute())) if kept and roots is not None and artifacts is not None else roots


def _address(container: ContainerDefinition, artifacts: Path | None) -> str | None:
    if container.artifact is None or artifacts is None:
        return container.data_url
    place = artifacts / container.artifact
    if not place.is_dir():
        raise Invalid(f"the model data that serves is not on this machine: there is no {place}")
    return place.absolute().as_uri() + "/"
