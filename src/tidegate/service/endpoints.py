"""Use cases of endpoints: begin creation, update, scaling and deletion. The engine carries them out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate.domain.alarm import Alarm
from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.endpoint import Endpoint, EndpointConfig, ProductionVariant, VersionRequest
from tidegate.domain.errors import AlreadyExists, Conflict, InProgress, Invalid, NotFound
from tidegate.domain.fleet import RoutingStrategy, Serverless, VariantSpec
from tidegate.domain.generations import generation_floor
from tidegate.domain.metric import find_intended
from tidegate.domain.observation import Capabilities, Event
from tidegate.domain.registry import ContainerDefinition, Model, Tags
from tidegate.domain.rollout import DeploymentConfig, Phase, Version
from tidegate.domain.targets import LOCAL
from tidegate.host.features import features
from tidegate.ports.store import Filter, StoredRecord, Tx
from tidegate.rollout import commands
from tidegate.rollout.commands import VariantChange
from tidegate.service import history, quotas, usage
from tidegate.service import tags as labels
from tidegate.service.alarms import read_rule_alarms
from tidegate.service.configs import check_count, check_weights
from tidegate.service.endpoint_extension import endpoint_extensions
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, MODEL
from tidegate.service.records import require
from tidegate.service.targets import check_supported

# --- checks by features of the containers of a version, before it is deployed ---


def check_containers(tx: Tx, containers: Iterable[ContainerDefinition]) -> None:
    """Check containers by the features. Raises Invalid if a feature refuses a container, or if the one that could
    approve it is off."""
    there = tuple(containers)
    packaged = next((one.package for one in there if one.package is not None), None)
    if packaged is not None:  # else nobody can say whether it is approved
        features().require_hook("package_containers", f"model package {packaged} cannot be deployed")
    for _, check in features().hooks("check_containers"):
        check(tx, there)


SHOWN_MEMBERS = ("MetricsConfig",)
"""Members of a config that DescribeEndpoint returns, even after the config was deleted."""


@dataclass(frozen=True)
class CarryOver:
    """Which present values an update carries over for variants of the same name."""

    weights: bool = False
    counts: bool = False


@dataclass(frozen=True)
class UpdateRequest:
    """Request to run a config. ``deployment`` None: all at once; the endpoint's last DeploymentConfig is kept."""

    config_name: str
    deployment: DeploymentConfig | None = None
    by: str = ""
    keep: CarryOver = CarryOver()
    override: bool = False
    """Allow a version that an alarm rolled back on this endpoint before."""
    remember: bool = True
    """Whether ``deployment`` is what a later update retains."""


def create_endpoint(
    tx: Tx,
    name: str,
    asked: UpdateRequest,
    tags: Tags,
    *,
    rollout_id: str,
    can: Capabilities,
    now: datetime,
    target: str = LOCAL,
) -> None:
    """Begin the creation on ``target``. Raises AlreadyExists, NotFound for the config or one of its models, or
    Invalid. A first version is created all at once; ``deployment`` is checked, and kept for updates."""
    require_free_name(tx, name)
    config = require(tx, CONFIG, asked.config_name).body
    first = first_number(tx, name, now)
    endpoint = Endpoint(name, now, now, generation=first, fence=first, target=target)
    wanted = build_request(tx, endpoint, config, asked, can, now)
    begun = commands.begin(endpoint, wanted, rollout_id=rollout_id, can=can, now=now)
    quotas.check(tx, None, begun, can.quotas)
    event = Event("create", f'creation with config "{config.name}" asked for{_name_person(asked.by)}')
    tx.put(ENDPOINT, name, replace(begun, deployment=asked.deployment), expect=0, now=now, events=[event])
    history.record(tx, None, begun, now)
    usage.record(tx, None, begun, now)
    labels.add(tx, ENDPOINT, name, tags, now)


def require_free_name(tx: Tx, name: str) -> None:
    """Raises AlreadyExists. Only creation compares names of endpoints without regard to case, as in SageMaker."""
    page = tx.find(ENDPOINT, Filter(name_in_any_case=name))
    for taken in (*(saved.name for saved in page.items), *(one.name for one in page.unreadable)):
        raise AlreadyExists(f'there is already an endpoint "{taken}"', about=(ENDPOINT.name, taken))


def first_number(tx: Tx, name: str, now: datetime) -> int:
    """First generation and fence of a new record: above all that the name ever had, even in lost records (an older
    backup was restored, another database is used). So fleets that still run under old numbers are not mistaken for
    the new endpoint's."""
    lines = tx.journal(kind=ENDPOINT.name, name=name, limit=2, newest_first=True)
    earlier = [line.body for line in lines if isinstance(line.body, dict)]
    known = [body.get(member) for body in earlier for member in ("generation", "fence")]
    return max([generation_floor(now), *(number for number in known if isinstance(number, int))])


def update_endpoint(
    tx: Tx, name: str, asked: UpdateRequest, *, rollout_id: str, can: Capabilities, now: datetime
) -> None:
    """Begin an update. Raises NotFound, InProgress, Conflict or Invalid."""
    saved = require_settled(tx, name, now)
    require_idle(saved.body)
    config = require(tx, CONFIG, asked.config_name).body
    if config.serverless and saved.body.serving is not None and not saved.body.serving.serverless:
        raise Invalid(f'endpoint "{name}" has instances and cannot become serverless: create another endpoint')
    wanted = build_request(tx, saved.body, config, asked, can, now)
    begun = commands.begin(saved.body, wanted, rollout_id=rollout_id, can=can, now=now, override=asked.override)
    quotas.check(tx, saved.body, begun, can.quotas)
    event = Event("update", f'update to config "{config.name}" asked for{_name_person(asked.by)}')
    kept = asked.deployment if asked.remember else None
    save(tx, saved, replace(begun, deployment=kept or saved.body.deployment), event, now)


def replace_failed_creation(
    tx: Tx,
    saved: StoredRecord[Endpoint],
    asked: UpdateRequest,
    *,
    rollout_id: str,
    can: Capabilities,
    now: datetime,
) -> None:
    """Create again, with another config, an endpoint whose creation failed. Raises NotFound, Conflict, Invalid or
    LimitExceeded."""
    config = require(tx, CONFIG, asked.config_name).body
    wanted = build_request(tx, saved.body, config, asked, can, now)
    begun = commands.replace_failed_creation(saved.body, wanted, rollout_id=rollout_id, can=can, now=now)
    quotas.check(tx, saved.body, begun, can.quotas)
    event = Event(
        "create",
        f'creation with config "{config.name}", in place of one that failed, asked for{_name_person(asked.by)}',
    )
    save(tx, saved, replace(begun, deployment=asked.deployment), event, now)


def check_serving_version(tx: Tx, endpoint: Endpoint, types: Mapping[str, str], can: Capabilities) -> None:
    """Raises NotFound or Invalid if the target has a restriction that the present version violates, such as that its
    config was deleted. ``types``: variant -> instance type of the new version."""
    if endpoint.serving is None:
        return
    if not can.keeps_old_config:
        require(tx, CONFIG, endpoint.serving.config_name)
    for one in endpoint_extensions():
        one.check_update(tx, endpoint, types, can)


def build_request(
    tx: Tx, endpoint: Endpoint, config: EndpointConfig, asked: UpdateRequest, can: Capabilities, now: datetime
) -> VersionRequest:
    """Resolve a request to a version and its guards. Raises Invalid, or NotFound, also for a missing alarm."""
    check_serving_version(tx, endpoint, {each.name: each.instance_type for each in config.variants}, can)
    guards = read_guards(tx, asked.deployment) if asked.deployment is not None else ()
    version = build_version(tx, config, endpoint.generation + 1, endpoint.serving, asked.keep)
    check_supported(endpoint, version, can)
    return VersionRequest(version, asked.deployment or DeploymentConfig(), now, asked.by, guards)


def build_version(
    tx: Tx, config: EndpointConfig, generation: int, serving: Version | None = None, keep: CarryOver = CarryOver()
) -> Version:
    """Copy the config's models into a version. Raises NotFound for a model that was deleted meanwhile."""
    present = {variant.name: variant for variant in serving.variants} if serving else {}
    variants = [_variant_spec(tx, variant, present.get(variant.name), keep) for variant in config.variants]
    for variant in config.shadows:
        variants.append(replace(_variant_spec(tx, variant, present.get(variant.name), keep), shadow=True))
    shown = {member: config.wire[member] for member in SHOWN_MEMBERS if member in config.wire}
    version = Version(generation, config.name, tuple(variants), wire=shown)
    if config.capture is not None:
        captured = tuple(replace(variant, capture=config.capture) for variant in version.variants)
        version = replace(version, variants=captured)
    if config.asynchronous is not None:
        version = _with_queue(version, config.asynchronous)
    if serving is not None and _is_queued(serving) != _is_queued(version):
        raise Invalid(
            "an endpoint cannot change between real-time and asynchronous inference: delete it and create it again"
        )
    check_weights(version.weights)
    return version


def _is_queued(version: Version) -> bool:
    return any(variant.asynchronous is not None for variant in version.variants)


def _with_queue(version: Version, config: AsyncConfig) -> Version:
    """Add the queue's configuration to each variant."""
    if any(variant.shadow or variant.model.multi_model for variant in version.variants):
        raise Invalid(
            "an asynchronous endpoint cannot have shadow variants or multi-model containers: remove them"
        )
    return replace(
        version,
        variants=tuple(
            replace(variant, asynchronous=replace(config, awake=max(1, variant.instance_count)))
            for variant in version.variants
        ),
    )


def _variant_spec(tx: Tx, variant: ProductionVariant, present: VariantSpec | None, keep: CarryOver) -> VariantSpec:
    model = require(tx, MODEL, variant.model_name).body
    check_containers(tx, model.containers)
    spec = variant_spec(variant, model)
    return replace(
        spec,
        instance_count=present.instance_count if present and keep.counts else spec.instance_count,
        weight=present.weight if present and keep.weights else spec.weight,
        serverless=_keep_bounds(variant, present, keep),
    )


def variant_spec(variant: ProductionVariant, model: Model) -> VariantSpec:
    """A variant of a new endpoint."""
    spec = VariantSpec(
        variant.name,
        model,
        variant.instance_count,
        weight=variant.weight,
        instance_type=variant.instance_type,
        routing=variant.routing or RoutingStrategy.RANDOM,
        memory_limit=variant.serverless.memory if variant.serverless else variant.memory_limit,
        devices=variant.devices,
        serverless=variant.serverless,
        admission=variant.admission,
        wire=variant.wire,
    )
    if variant.download_timeout is not None:
        spec = replace(spec, download_timeout=float(variant.download_timeout))
    if variant.startup_timeout is not None:
        spec = replace(spec, startup_timeout=float(variant.startup_timeout))
    return spec


def _keep_bounds(variant: ProductionVariant, present: VariantSpec | None, keep: CarryOver) -> Serverless | None:
    """A concurrency that was changed in place is carried over like an instance count."""
    new, old = variant.serverless, present.serverless if present else None
    if new is None or old is None or not keep.counts:
        return new
    return replace(new, max_concurrency=old.max_concurrency, provisioned=old.provisioned)


def read_guards(tx: Tx, deployment: DeploymentConfig) -> tuple[Alarm, ...]:
    """The deployment's alarms as defined now, and those that the rules of composite ones name. Raises NotFound for a
    missing one, and Invalid for one on a misspelled namespace of the platform: either would silently leave the
    rollout without its guard."""
    guards = []
    for name in deployment.alarms:
        saved = tx.get(ALARM, name)
        if saved is None:
            raise NotFound(f'there is no alarm "{name}": define it before a rollout relies on it')
        _check_namespaces(saved.body)
        guards.append(saved.body)
    for guard in [one for one in guards if one.rule]:
        named = read_rule_alarms(tx, guard)
        for one in named.values():
            _check_namespaces(one)
        guards += [one for one in named.values() if one not in guards]
    return tuple(guards)


def _check_namespaces(alarm: Alarm) -> None:
    metrics = [query.metric.namespace for query in alarm.queries if query.metric is not None]
    for namespace in (alarm.namespace, *metrics):
        if (meant := find_intended(namespace)) is not None:
            raise Invalid(
                f'alarm "{alarm.name}" watches the namespace "{namespace}", where nothing is ever written: spell it'
                f' "{meant}"'
            )


def update_weights_and_capacities(
    tx: Tx, name: str, changes: Mapping[str, VariantChange], can: Capabilities, now: datetime
) -> None:
    """Change the serving fleets in place. Raises NotFound, InProgress, Conflict, Invalid or LimitExceeded."""
    saved = require_settled(tx, name, now)
    require_idle(saved.body)
    for variant, change in changes.items():
        check_count(variant, change.count or 0)
    described = ", ".join(f"{variant}: {_describe(change)}" for variant, change in changes.items())
    after = commands.scale(saved.body, changes, now)
    quotas.check(tx, saved.body, after, can.quotas)
    save(tx, saved, after, Event("scale", f"asked for {described}"), now)


def autoscale(
    tx: Tx, name: str, changes: Mapping[str, VariantChange], why: str, can: Capabilities, now: datetime
) -> None:
    """Like ``update_weights_and_capacities``, but allowed while an update bakes or an earlier change is in progress:
    load waits for neither. Raises InProgress in any other phase of an update."""
    saved = require(tx, ENDPOINT, name)
    rollout, scaling = saved.body.rollout, saved.body.scaling
    if not (rollout is not None and rollout.phase is Phase.BAKING) and not (scaling and not scaling.undoing):
        require_idle(saved.body)
    for variant, change in changes.items():
        check_count(variant, change.count or 0)
    described = ", ".join(f"{variant}: {_describe(change)}" for variant, change in changes.items())
    after = commands.scale(saved.body, changes, now)
    quotas.check(tx, saved.body, after, can.quotas)
    save(tx, saved, after, Event("scale", f"{described}: {why}"), now)


def delete_endpoint(tx: Tx, name: str, now: datetime, by: str = "", force: bool = False) -> None:
    """Begin to drain and remove the endpoint. Raises NotFound, or InProgress while it is created, updated or deleted;
    ``force`` ends a change in progress."""
    saved = require_settled(tx, name, now)
    if saved.body.deleting or (_is_changing(saved.body) and not force):
        raise _in_progress(saved.body)
    save(
        tx,
        saved,
        commands.delete(saved.body, now, force),
        Event("delete", f"deletion asked for{_name_person(by)}"),
        now,
    )
    labels.drop(tx, ENDPOINT, name, now)
    for one in endpoint_extensions():
        one.delete(tx, name, now)


def get_endpoint(tx: Tx, name: str) -> StoredRecord[Endpoint]:
    return require(tx, ENDPOINT, name)


def require_settled(tx: Tx, name: str, now: datetime) -> StoredRecord[Endpoint]:
    """The endpoint. A rollout of which nothing is left but a holdback, or fleets that are ending, has ended before:
    they lock nothing. Raises NotFound."""
    saved = require(tx, ENDPOINT, name)
    ended, events = commands.end_passed(saved.body, now)
    if not events:
        return saved
    tx.put(ENDPOINT, name, ended, expect=saved.version, now=now, events=events)
    history.record(tx, saved.body, ended, now)
    usage.record(tx, saved.body, ended, now)
    return require(tx, ENDPOINT, name)


def require_idle(endpoint: Endpoint) -> None:
    """Raises InProgress during a change, Conflict if the endpoint can only be deleted."""
    if endpoint.deleting or _is_changing(endpoint):
        raise _in_progress(endpoint)
    if endpoint.failed:
        raise Conflict(f'endpoint "{endpoint.name}" failed to be created: delete it, then create it again')


def save(tx: Tx, saved: StoredRecord[Endpoint], endpoint: Endpoint, event: Event, now: datetime) -> None:
    """Save the endpoint if its record has not changed since it was read. Raises Stale."""
    tx.put(ENDPOINT, saved.name, endpoint, expect=saved.version, now=now, events=[event])
    history.record(tx, saved.body, endpoint, now)
    usage.record(tx, saved.body, endpoint, now)


def _is_changing(endpoint: Endpoint) -> bool:
    return endpoint.rollout is not None or endpoint.scaling is not None


def _in_progress(endpoint: Endpoint) -> InProgress:
    doing = "being deleted" if endpoint.deleting else "being changed"
    message = f'endpoint "{endpoint.name}" is {doing}: wait until that is done'
    return InProgress(message, about=(ENDPOINT.name, endpoint.name))


def _describe(change: VariantChange) -> str:
    parts = {
        "weight": change.weight,
        "count": change.count,
        "max concurrency": change.max_concurrency,
        "provisioned concurrency": change.provisioned,
    }
    return " ".join(f"{name} {value:g}" for name, value in parts.items() if value is not None)


def _name_person(person: str) -> str:
    return f" by {person}" if person else ""
