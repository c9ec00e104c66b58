"""The compiler: a desired deployment, options and what serves now -> AWS calls in order, notes and refusals. Pure."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from tidegate.domain.desired import DesiredDeployment
from tidegate.targets.sagemaker import limits
from tidegate.targets.sagemaker.alarm_calls import abort_alarm, abort_alarm_name, compile_alarms
from tidegate.targets.sagemaker.calls import (
    CompiledDeployment,
    Findings,
    LocalData,
    Params,
    RunningConfig,
    SagemakerCall,
)
from tidegate.targets.sagemaker.config_call import compile_config, instance_type
from tidegate.targets.sagemaker.guardrails import Guardrail, NewFleet, compile_guardrail, with_retained_counts
from tidegate.targets.sagemaker.limits import digest_content
from tidegate.targets.sagemaker.model_calls import compile_models
from tidegate.targets.sagemaker.options import SagemakerOptions
from tidegate.targets.sagemaker.scaling_calls import compile_deregistrations, compile_scaling
from tidegate.targets.sagemaker.service_model import hosting_types
from tidegate.targets.sagemaker.tags import check_tags, own_tags, tagged

DOWNLOAD, START_UP = 900, 480
"""Seconds where a variant does not say: the defaults of tidegate, which SageMaker gets explicitly."""


def compile_native(
    wish: DesiredDeployment,
    options: SagemakerOptions,
    local: Mapping[str, LocalData],
    serving: RunningConfig | None,
    now: datetime,
) -> CompiledDeployment:
    """``local``: address of model data on this machine -> its measure. ``serving`` None: the endpoint is created."""
    found = Findings()
    given = check_tags(wish.tags, found)
    variants = (*wish.config.variants, *wish.config.shadows)
    types = {one.model_name: instance_type(one, options) for one in variants}
    models, uploads = compile_models(wish, local, options, types, found)
    config = compile_config(wish, models, options, hosting_types(), found)
    name = str(config.params["EndpointConfigName"])
    alarms = compile_alarms(wish, name, options, found)
    retained = _retained(wish, serving)
    fleet = with_retained_counts(_fleet(wish, options), serving, retained)
    guardrail = compile_guardrail(wish.deployment, fleet, serving, options, found)
    guards = _guards(wish, alarms, name, guardrail, found)
    change = _change(wish, name, serving, guardrail, guards, retained)
    wanted = {one.name: instance_type(one, options) for one in wish.config.variants}
    _note_what_aws_lacks(wish, serving, guardrail, found)
    own = (abort_alarm(wish.endpoint, name),) if guardrail is not None else ()
    made = [*models.values(), config, *alarms.values()]
    # Without the tags, one of which holds it, and without times.
    whole = digest_content([[call.params for call in made], str(wish.deployment), str(wish.autoscaling), given])[
        :16
    ]
    tags = given | own_tags(wish.endpoint, whole)
    return CompiledDeployment(
        endpoint=wish.endpoint,
        config_name=name,
        digest=whole,
        uploads=uploads,
        models=tuple(tagged(call, tags) for call in models.values()),
        config=tagged(config, tags),
        alarms=tuple(tagged(call, tags) for call in (*alarms.values(), *own)),
        before=compile_deregistrations(wish.endpoint, wanted, serving, wish.autoscaling),
        change=tagged(change, tags),
        scaling=tuple(tagged(call, tags) for call in compile_scaling(wish, now, found)),
        steps=guardrail.steps if guardrail else (),
        waits=guardrail.waits if guardrail else 0,
        guards=guards,
        abort_alarm=abort_alarm_name(name) if own else "",
        require_evidence=wish.deployment.require_evidence,
        tags=tags,
        notes=tuple(found.notes),
        refusals=tuple(found.refusals),
    )


def _fleet(wish: DesiredDeployment, options: SagemakerOptions) -> NewFleet:
    variants = wish.config.variants
    start_up = max((one.download_timeout or DOWNLOAD) + (one.startup_timeout or START_UP) for one in variants)
    sizes = {one.name: (instance_type(one, options), one.instance_count) for one in variants}
    return NewFleet(sizes, start_up + limits.LAUNCH)


def _retained(wish: DesiredDeployment, serving: RunningConfig | None) -> bool:
    """Whether the new fleet starts with the counts of the old one: where autoscaling has set these, the count of the
    spec would drop the fleet to its size of a quiet hour in the middle of a peak."""
    if serving is None or wish.autoscaling is None:
        return False
    same = {one.name for one in serving.variants} == {one.name for one in wish.config.variants}
    return same and any(one.scalable for one in serving.variants)


def _guards(
    wish: DesiredDeployment,
    alarms: Mapping[str, SagemakerCall],
    config: str,
    guardrail: Guardrail | None,
    found: Findings,
) -> tuple[str, ...]:
    if guardrail is None:
        return ()
    names = [str(alarms[name].params["AlarmName"]) for name in wish.deployment.alarms if name in alarms]
    missing = [name for name in wish.deployment.alarms if name not in alarms]
    if missing:
        found.refuse(f"rollout.alarms: {', '.join(missing)}: not alarms of this spec")
    if len(names) + 1 > limits.GUARDS:
        found.refuse(
            f"rollout.alarms: {len(names)} alarms and the one that aborts; SageMaker watches {limits.GUARDS} at most"
        )
    if guardrail.waits and not names:
        found.note("rollout: bakes without alarms wait, and nothing but an abort rolls them back")
    if not guardrail.waits:
        found.note(
            "rollout: without a bake no alarm can roll it back, since SageMaker watches alarms in bakes only"
        )
    return (*names, abort_alarm_name(config))


def _change(
    wish: DesiredDeployment,
    config: str,
    serving: RunningConfig | None,
    guardrail: Guardrail | None,
    guards: tuple[str, ...],
    retained: bool,
) -> SagemakerCall:
    params: Params = {"EndpointName": wish.endpoint, "EndpointConfigName": config}
    if serving is None:
        return SagemakerCall(
            "sagemaker",
            "CreateEndpoint",
            params,
            "the first version: SageMaker guards updates only, so requests are tried on it afterwards",
        )
    if guardrail is not None:
        watched = {"Alarms": [{"AlarmName": name} for name in guards]}
        params["DeploymentConfig"] = {**guardrail.params, "AutoRollbackConfiguration": watched}
    params["RetainDeploymentConfig"] = False
    params["RetainAllVariantProperties"] = retained
    if retained:
        params["ExcludeRetainedVariantProperties"] = [{"VariantPropertyType": "DesiredWeight"}]
    return SagemakerCall(
        "sagemaker", "UpdateEndpoint", params, "the new version, by SageMaker's deployment guardrails"
    )


def _note_what_aws_lacks(
    wish: DesiredDeployment, serving: RunningConfig | None, guardrail: Guardrail | None, found: Findings
) -> None:
    if serving is None:
        found.note("the first version has no version to go back to: no alarm guards it")
    if serving is not None and wish.config.serverless and not all(one.serverless for one in serving.variants):
        found.refuse(f"{wish.endpoint} has instances, and cannot become serverless: deploy it under another name")
    if wish.deployment.evidence is not None:
        found.refuse("evidence: SageMaker compares no versions: leave it out and guard the rollout by alarms")
    if wish.deployment.holdback is not None:
        found.refuse("rollout.holdback: SageMaker removes the old fleet after its last step: use final_bake")
    if wish.deployment.stick:
        found.refuse("rollout.stick: SageMaker cannot keep clients on one version: leave it out")
    if wish.drift is not None:
        found.refuse(
            "drift: no server compares captures here: leave it out, and set up Model Monitor at SageMaker"
        )
    if wish.deployment.require_evidence and guardrail is not None:
        found.note(
            "require_evidence: SageMaker takes INSUFFICIENT_DATA for good. 'tidegate direct deploy --wait' and"
            " 'tidegate direct watch' abort before a bake ends without evidence; while neither runs, nobody does"
        )
    if guardrail is not None and "BlueGreenUpdatePolicy" in guardrail.params:
        found.note("a blue/green update needs the quota of both fleets; rolling needs one batch more")


# Render a compiled deployment as JSON: the API calls in order. The CloudFormation form is in ``cloudformation``.


def render_calls(compiled: CompiledDeployment) -> dict[str, Any]:
    return {
        "endpoint": compiled.endpoint,
        "config": compiled.config_name,
        "digest": compiled.digest,
        "uploads": [asdict(upload) for upload in compiled.uploads],
        "calls": [
            {"service": call.service, "operation": call.operation, "parameters": call.params, "why": call.why}
            for call in compiled.calls
        ],
        "steps": [asdict(step) for step in compiled.steps],
        "notes": list(compiled.notes),
        "refusals": list(compiled.refusals),
    }


def describe_steps(compiled: CompiledDeployment) -> list[str]:
    """One line for each step of the rollout, as SageMaker will do it."""
    return [
        f"{step.share:.0%} of the traffic on {step.instances} of {step.total} new instances"
        + (f" (asked for {step.asked:.0%})" if abs(step.share - step.asked) > 1e-9 else "")
        + (f", for {step.wait} s" if step.wait else "")
        for step in compiled.steps
    ]
