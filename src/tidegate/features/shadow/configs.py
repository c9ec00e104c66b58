"""The endpoint configs of a shadow test: what runs while it lasts, and what stays after it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from tidegate.domain.capture import Capture
from tidegate.domain.endpoint import Endpoint, EndpointConfig, ProductionVariant
from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import VariantSpec
from tidegate.features.shadow.records import ExperimentEnding, ExperimentVariant, ShadowExperiment, VariantAction
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import CONFIG

LONGEST_NAME = 63
MOST_NAMES = 1_000


def require_source(endpoint: Endpoint, source: ExperimentVariant) -> VariantSpec | None:
    """The production variant that serves; None if there is none yet. Raises Invalid where the test would put another
    model, or fewer variants, into production than there are."""
    if endpoint.serving is None:
        return None
    serving = [variant for variant in endpoint.serving.variants if not variant.shadow]
    names = ", ".join(variant.name for variant in serving)
    if len(serving) != 1 or serving[0].name != source.name:
        raise Invalid(
            f'endpoint "{endpoint.name}" has the production variants {names}:'
            f' a shadow test needs "{source.name}" alone'
        )
    if len(endpoint.serving.variants) > 1:
        raise Invalid(f'endpoint "{endpoint.name}" has a shadow variant already: remove it first')
    found = serving[0]
    if found.serverless is not None or found.asynchronous is not None:
        kind = "serverless" if found.serverless is not None else "asynchronous"
        raise Invalid(f'endpoint "{endpoint.name}" is {kind}: it cannot have a shadow variant')
    if found.model.name != source.model_name:
        raise Invalid(
            f'variant "{source.name}" of endpoint "{endpoint.name}" serves model "{found.model.name}", and the'
            f' test says "{source.model_name}": a shadow test does not change what is in production'
        )
    return found


def test_config(tx: Tx, test: ShadowExperiment, endpoint: Endpoint | None, now: datetime) -> EndpointConfig:
    """Return the config of the test, with both variants. The production variant keeps all its settings, and never has
    fewer instances than now."""
    present = _serving_variant(endpoint, test.source.name)
    source = _to_variant(test.source, present)
    shadow = replace(_to_variant(test.shadow, None), weight=source.weight * test.percent / 100)
    capture = _choose_capture(test, _present_capture(endpoint))
    return EndpointConfig(_name(tx, test, "shadow"), (source,), now, shadows=(shadow,), capture=capture)


def final_config(tx: Tx, test: ShadowExperiment, endpoint: Endpoint, now: datetime) -> EndpointConfig | str:
    """Return the config that stays after the test; or the name of the config from before the test, if that is the
    same and still exists. A promoted variant gets the settings of the variant that it replaces, and as many
    instances."""
    ending = test.ending or ExperimentEnding()
    promoted = ending.shadow is VariantAction.PROMOTE
    if not promoted and not ending.desired and test.before and tx.get(CONFIG, test.before) is not None:
        return test.before
    kept = test.shadow if promoted else test.source
    present = _serving_variant(endpoint, test.source.name)
    variant = _to_variant(kept, present)
    sizes = {one.name: one for one in ending.desired}
    if kept.name in sizes:
        size = sizes[kept.name]
        variant = replace(variant, instance_type=size.instance_type, instance_count=size.instance_count)
    before = tx.get(CONFIG, test.before) if test.before else None
    capture = before.body.capture if before is not None else _present_capture(endpoint)
    return EndpointConfig(_name(tx, test, "after"), (variant,), now, capture=capture)


def _to_variant(given: ExperimentVariant, present: VariantSpec | None) -> ProductionVariant:
    """Convert a variant of the test. ``present``: the variant whose settings it keeps, and than which it has no fewer
    instances."""
    made = ProductionVariant(given.name, given.model_name, given.instance_count, given.instance_type)
    if present is None:
        return made
    return replace(
        made,
        instance_count=max(given.instance_count, present.instance_count),
        routing=present.routing,
        download_timeout=int(present.download_timeout),
        startup_timeout=int(present.startup_timeout),
        memory_limit=present.memory_limit,
        devices=present.devices,
        admission=present.admission,
        wire=present.wire,
    )


def _choose_capture(test: ShadowExperiment, present: Capture | None) -> Capture | None:
    """The test's own, by the rules of the endpoint's: what is removed from captures is still removed."""
    if test.capture is None or present is None:
        return test.capture or present
    return replace(test.capture, redaction=present.redaction)


def _present_capture(endpoint: Endpoint | None) -> Capture | None:
    variants: Iterable[VariantSpec] = endpoint.serving.variants if endpoint and endpoint.serving else ()
    return next((variant.capture for variant in variants), None)


def _serving_variant(endpoint: Endpoint | None, name: str) -> VariantSpec | None:
    variants: Iterable[VariantSpec] = endpoint.serving.variants if endpoint and endpoint.serving else ()
    return next((variant for variant in variants if variant.name == name), None)


def _name(tx: Tx, test: ShadowExperiment, what: str) -> str:
    """One that is free."""
    for number in range(test.configs + 1, test.configs + MOST_NAMES):
        end = f"-{what}-{number}"
        name = test.name[: LONGEST_NAME - len(end)].rstrip("-") + end
        if tx.get(CONFIG, name) is None:
            return name
    raise Invalid(f'there are {MOST_NAMES} endpoint configurations of experiment "{test.name}": delete some')
