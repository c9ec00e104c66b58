"""What a scoring process is started with: a model from a path, a spec, or what an endpoint serves."""

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
from tidegate.targets.containers import check_container, granted_environment, image_table, serving_mode

AUTO = "tidegate/auto"


def model_at(path: Path, settings: Settings, now: datetime) -> Model:
    """Model data alone: what it holds chooses the runtime. It may do what ``TIDEGATE_TRUST`` of this command allows.
    Raises Invalid."""
    if not path.exists():
        raise Invalid(f"{path}: there is no such file or folder: expected model data, or a spec (.yaml)")
    place = path.absolute()
    url = place.as_uri() + ("/" if place.is_dir() else "")
    environment = {trust.TRUST: ",".join(sorted(settings.trust))} if settings.trust else {}
    return Model(path.name, (ContainerDefinition(AUTO, url, environment),), now)


def model_of_spec(wish: DesiredDeployment, variant: str, source: str) -> Model:
    """The model of the variant with this name; empty: of the only one that answers clients. Raises Invalid."""
    names = [one.name for one in wish.config.variants]
    chosen = variant or (names[0] if len(names) == 1 else "")
    for one in wish.config.variants:
        if one.name == chosen:
            return next(model for model in wish.models if model.name == one.model_name)
    raise Invalid(f"{source}: say by --with variant=NAME which one is meant: {', '.join(names)}")


def serving_entry(history: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The version of an endpoint that serves, of its history. Raises NotFound."""
    for entry in history:
        if entry["state"] == "Serving":
            return entry
    raise NotFound(f"endpoint {name} has no version that serves")


def serving_variant(entry: Mapping[str, Any], variant: str, name: str) -> str:
    """Its variant with this name; empty: the only one that answers clients. Raises Invalid."""
    names = [one["name"] for one in entry["variants"] if not one["shadow"]]
    if variant in names:
        return variant
    if not variant and len(names) == 1:
        return str(names[0])
    raise Invalid(f"endpoint {name}: say by --with variant=NAME which one is meant: {', '.join(names)}")


def served_model(described: Mapping[str, Any], digests: list[str], now: datetime) -> Model:
    """The model that DescribeModel answered, with the model data that was kept under ``digests``."""
    single = "PrimaryContainer" in described
    given = [described["PrimaryContainer"]] if single else described["Containers"]
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
    """``folder``: for its files. ``artifacts``: where kept model data lies. ``file_roots``: folders that ``file://``
    may lead into, beside that one; None: any, which is for a command. Raises Invalid for a model that answers nothing
    by itself, or that may not do what it asks for."""
    if model.multi_model or (model.execution_mode == "Direct" and not model.single):
        raise Invalid(f"model {model.name} is several models, and one is compared: name the data of one")
    table = image_table(settings)
    containers = []
    for number, (name, container) in enumerate(zip(model.container_names, model.containers, strict=True), 1):
        check_container(container, table, settings)
        runtime = images.resolve(container.image, table)
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
