"""Scalable targets: register, look up, deregister."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Invalid, NotFound
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.observation import Event
from tidegate.domain.registry import Tags
from tidegate.domain.scaling import Dimension, ScalableTarget, SuspendedScaling
from tidegate.features.autoscaling import tracking_alarms
from tidegate.features.autoscaling.scalable_records import SCALABLE, Scalable, record_name
from tidegate.ports.store import Filter, StoredRecord, Tx
from tidegate.service import tags as labels
from tidegate.service.configs import check_count
from tidegate.service.record_kinds import ENDPOINT


@dataclass(frozen=True)
class ScalableKey:
    """Identity of a scalable target."""

    endpoint: str
    variant: str
    dimension: Dimension

    @property
    def name(self) -> str:
        return record_name(self.endpoint, self.variant, self.dimension)

    def __str__(self) -> str:
        """Name the target as Application Auto Scaling's messages do."""
        return (
            f"service namespace: sagemaker, resource ID: endpoint/{self.endpoint}/variant/{self.variant}, "
            f"scalable dimension: {self.dimension}"
        )


@dataclass(frozen=True)
class BoundsUpdate:
    """Members of a registration; None: unchanged."""

    minimum: int | None = None
    maximum: int | None = None
    scale_in_suspended: bool | None = None
    scale_out_suspended: bool | None = None
    scheduled_suspended: bool | None = None


def register(tx: Tx, key: ScalableKey, bounds: BoundsUpdate, tags: Tags, *, id: str, now: datetime) -> Scalable:
    """Register a target, or set new bounds. The scaling loop moves a count outside the bounds in its next turn.
    Raises Invalid for impossible bounds, or a missing endpoint or variant."""
    variant = _variant(tx, key)
    saved = tx.get(SCALABLE, key.name)
    if saved is None:
        if bounds.minimum is None or bounds.maximum is None:
            raise Invalid("MinCapacity and MaxCapacity are both needed when a target is first registered")
        blank = ScalableTarget(key.endpoint, key.variant, key.dimension, 0, 0, now)
        before = Scalable(id, blank)
    else:
        before = saved.body
    after = replace(before, target=_update_bounds(before.target, bounds))
    check(after.target, variant)
    if saved is None or after != before:
        text = f"{key.variant}: {after.target.minimum} to {after.target.maximum}"
        save(tx, saved, after, Event("scaling.Registered", text), now)
    if saved is None:
        labels.add(tx, SCALABLE, key.name, tags, now)
    return after


def _update_bounds(target: ScalableTarget, bounds: BoundsUpdate) -> ScalableTarget:
    held = target.suspended
    return replace(
        target,
        minimum=target.minimum if bounds.minimum is None else bounds.minimum,
        maximum=target.maximum if bounds.maximum is None else bounds.maximum,
        suspended=SuspendedScaling(
            scale_in=_or(bounds.scale_in_suspended, held.scale_in),
            scale_out=_or(bounds.scale_out_suspended, held.scale_out),
            scheduled=_or(bounds.scheduled_suspended, held.scheduled),
        ),
    )


def _or(new: bool | None, old: bool) -> bool:
    return old if new is None else new


def check(target: ScalableTarget, variant: VariantSpec) -> None:
    """Check the bounds against the variant. Raises Invalid for bounds that do not fit it."""
    if target.minimum < 0:
        raise Invalid(f"Minimum capacity {target.minimum} must not be negative")
    if target.minimum > target.maximum:
        raise Invalid(f"Maximum capacity {target.maximum} cannot be less than minimum capacity {target.minimum}")
    if target.dimension is Dimension.PROVISIONED:
        most = variant.serverless.max_concurrency if variant.serverless else 0
        if target.maximum > most:
            raise Invalid(f"Maximum capacity {target.maximum} is more than the variant's MaxConcurrency, {most}")
        return
    check_count(variant.name, target.maximum)
    if target.minimum == 0 and variant.asynchronous is None:
        raise Invalid(
            "Minimum capacity 0 needs an asynchronous endpoint: a real-time request without an instance would be "
            "lost"
        )


def _variant(tx: Tx, key: ScalableKey) -> VariantSpec:
    saved = tx.get(ENDPOINT, key.endpoint)
    found = _find_variant(saved.body, key.variant) if saved is not None and not saved.body.deleting else None
    if found is None or found.shadow:
        raise Invalid(f"there is no endpoint/{key.endpoint}/variant/{key.variant} to scale: create it first")
    serverless = found.serverless is not None
    if serverless != (key.dimension is Dimension.PROVISIONED):
        expected = Dimension.PROVISIONED if serverless else Dimension.INSTANCES
        raise Invalid(
            f"scaling dimension {key.dimension} does not apply to variant {key.variant}: expected {expected}"
        )
    return found


def _find_variant(endpoint: Endpoint, name: str) -> VariantSpec | None:
    """Return the variant of the new version during a rollout, otherwise that of the serving version."""
    rollout = endpoint.rollout
    version = rollout.new if rollout is not None and rollout.cause is None else endpoint.serving
    return next((one for one in version.variants if one.name == name), None) if version else None


def get(tx: Tx, key: ScalableKey, sentence: str = "No scalable target found for") -> StoredRecord[Scalable]:
    """Return the target with this key. Raises NotFound."""
    saved = tx.get(SCALABLE, key.name)
    if saved is None:
        raise NotFound(f"{sentence} {key}")
    return saved


def list_all(tx: Tx) -> list[StoredRecord[Scalable]]:
    """All targets, in the order of their names."""
    return sorted(tx.find(SCALABLE).items, key=lambda saved: saved.name)


def list_for_endpoint(tx: Tx, endpoint: str) -> list[StoredRecord[Scalable]]:
    found = tx.find(SCALABLE, Filter(name_prefix=f"{endpoint}/")).items
    return sorted(found, key=lambda saved: saved.name)


def find_by_id(tx: Tx, id: str) -> StoredRecord[Scalable] | None:
    return next((saved for saved in list_all(tx) if saved.body.id == id), None)


def deregister(tx: Tx, key: ScalableKey, now: datetime) -> None:
    """Deregister the target with its policies, their alarms, and its scheduled actions. Raises NotFound."""
    _remove(tx, get(tx, key), now)


def deregister_all(tx: Tx, endpoint: str, now: datetime) -> None:
    """Deregister all targets of a deleted endpoint."""
    for saved in list_for_endpoint(tx, endpoint):
        _remove(tx, saved, now)


def _remove(tx: Tx, saved: StoredRecord[Scalable], now: datetime) -> None:
    tracking_alarms.remove(tx, saved.body.target, saved.body.policies, now)
    labels.drop(tx, SCALABLE, saved.name, now)
    event = Event("scaling.Deregistered", f"{saved.body.target.variant} is no longer scaled")
    tx.delete(SCALABLE, saved.name, expect=saved.version, now=now, events=[event])


def save(
    tx: Tx, saved: StoredRecord[Scalable] | None, after: Scalable, event: Event | Sequence[Event], now: datetime
) -> None:
    """Save the target if its record has not changed since it was read (None: did not exist). Raises Stale."""
    events = [event] if isinstance(event, Event) else event
    tx.put(SCALABLE, after.name, after, expect=saved.version if saved else 0, now=now, events=events)
