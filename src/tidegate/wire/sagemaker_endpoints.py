"""SageMaker's operations on endpoints."""

from collections.abc import Sequence

from tidegate.domain.access import Access
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Invalid
from tidegate.domain.rollout import DeploymentConfig
from tidegate.ports.store import Unreadable
from tidegate.rollout.commands import VariantChange
from tidegate.rollout.status import EndpointStatus, status
from tidegate.service import endpoints as use
from tidegate.service.endpoints import CarryOver, UpdateRequest
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.targets import choose_target, find_capabilities
from tidegate.wire.config_members import refuse_config_tags
from tidegate.wire.listing import Shown, find_by_status, list_by_status, parse_listing, show_page
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation
from tidegate.wire.sagemaker_deployment import parse_deployment
from tidegate.wire.sagemaker_describe import arn, render_endpoint
from tidegate.wire.sagemaker_tags import parse_tags


def create_endpoint(call: TxCall, params: Params) -> Params:
    name: str = params["EndpointName"]
    asked = UpdateRequest(params["EndpointConfigName"], parse_deployment(params), call.caller)
    tags, table = parse_tags(params), call.ctx.targets
    refuse_config_tags(tags)
    target = table.default if call.tx.get(ENDPOINT, name) else choose_target(call.tx, name, None, tags, table)
    use.create_endpoint(
        call.tx,
        name,
        asked,
        tags,
        rollout_id=_new_rollout_id(call),
        can=table.of(target),
        now=call.now,
        target=target,
    )
    return {"EndpointArn": arn(call, name)}


def update_endpoint(call: TxCall, params: Params) -> Params:
    """An update through this API overrides tidegate's record of versions that alarms rejected, because AWS keeps no
    such record."""
    name: str = params["EndpointName"]
    deployment = _choose_deployment(call, params)
    asked = UpdateRequest(
        params["EndpointConfigName"], deployment, call.caller, _parse_retained(params), override=True
    )
    can = find_capabilities(call.tx, name, call.ctx.targets)
    use.update_endpoint(call.tx, name, asked, rollout_id=_new_rollout_id(call), can=can, now=call.now)
    return {"EndpointArn": arn(call, name)}


def _choose_deployment(call: TxCall, params: Params) -> DeploymentConfig | None:
    given = parse_deployment(params)
    if not params.get("RetainDeploymentConfig"):
        return given
    if given is not None:
        raise Invalid("DeploymentConfig and RetainDeploymentConfig exclude each other: give one of them")
    return use.get_endpoint(call.tx, params["EndpointName"]).body.deployment


def _parse_retained(params: Params) -> CarryOver:
    """Parse which properties of variants are retained. Without RetainAllVariantProperties none are, and exclusions
    have no effect."""
    if not params.get("RetainAllVariantProperties"):
        return CarryOver()
    excluded = {entry["VariantPropertyType"] for entry in params.get("ExcludeRetainedVariantProperties", [])}
    return CarryOver(weights="DesiredWeight" not in excluded, counts="DesiredInstanceCount" not in excluded)


def update_endpoint_weights_and_capacities(call: TxCall, params: Params) -> Params:
    name: str = params["EndpointName"]
    endpoint = use.require_settled(call.tx, name, call.now).body
    use.require_idle(endpoint)
    changes: dict[str, VariantChange] = {}
    for given in params["DesiredWeightsAndCapacities"]:
        if given["VariantName"] in changes:
            raise Invalid(f'The variant name "{given["VariantName"]}" was non-unique within the request.')
        bounds = given.get("ServerlessUpdateConfig", {})
        changes[given["VariantName"]] = VariantChange(
            given.get("DesiredWeight"),
            given.get("DesiredInstanceCount"),
            bounds.get("MaxConcurrency"),
            bounds.get("ProvisionedConcurrency"),
        )
    _require_variants(endpoint, list(changes))
    can = find_capabilities(call.tx, name, call.ctx.targets)
    use.update_weights_and_capacities(call.tx, name, changes, can, call.now)
    return {"EndpointArn": arn(call, name)}


def _require_variants(endpoint: Endpoint, names: list[str]) -> None:
    """Check that a serving variant has each of the names. Raises Invalid, worded as SageMaker does."""
    known = [variant.name for variant in endpoint.serving.variants] if endpoint.serving else []
    unknown = ", ".join(f'"{name}"' for name in names if name not in known)
    if unknown:
        config = endpoint.serving.config_name if endpoint.serving else ""
        raise Invalid(
            f'The variant name(s) {unknown} is/are not present within endpoint configuration "{config}".'
        )


def delete_endpoint(call: TxCall, params: Params) -> None:
    use.delete_endpoint(call.tx, params["EndpointName"], call.now, call.caller)


def describe_endpoint(call: TxCall, params: Params) -> Params:
    endpoint = use.get_endpoint(call.tx, params["EndpointName"]).body
    return render_endpoint(call, endpoint, call.ctx.observed(endpoint.name))


def list_endpoints(call: TxCall, params: Params) -> Params:
    found: Sequence[Shown[Endpoint]]
    if params.get("SortBy") == "Status":
        page = call.tx.find(ENDPOINT, parse_listing(params).where)
        found, token = list_by_status(show_page(page, parse_listing(params).where), params, _status)
    elif "StatusEquals" in params:
        found, token = find_by_status(call.tx, ENDPOINT, params, _status)
    else:
        wanted = parse_listing(params)
        page = call.tx.find(ENDPOINT, wanted.where, wanted.limit, wanted.after)
        found, token = show_page(page, wanted.where), page.next
    return {"Endpoints": [_render_summary(call, shown) for shown in found], "NextToken": token}


def _status(saved: Shown[Endpoint]) -> str:
    """Return the status of an endpoint. One that cannot be read is Failed: nothing better is known of it."""
    if isinstance(saved, Unreadable):
        return str(EndpointStatus.FAILED)
    return str(status(saved.body)[0])


def _render_summary(call: TxCall, saved: Shown[Endpoint]) -> Params:
    times = saved if isinstance(saved, Unreadable) else saved.body
    return {
        "EndpointName": saved.name,
        "EndpointArn": arn(call, saved.name),
        "CreationTime": times.created_at,
        "LastModifiedTime": times.modified_at,
        "EndpointStatus": _status(saved),
    }


def _new_rollout_id(call: TxCall) -> str:
    return call.ctx.ids.new("rollout")


OPERATIONS: Operations = {
    "CreateEndpoint": TxOperation(create_endpoint, Access.CHANGE, kicks="EndpointName"),
    "UpdateEndpoint": TxOperation(update_endpoint, Access.CHANGE, kicks="EndpointName"),
    "UpdateEndpointWeightsAndCapacities": TxOperation(
        update_endpoint_weights_and_capacities, Access.CHANGE, kicks="EndpointName"
    ),
    "DeleteEndpoint": TxOperation(delete_endpoint, Access.CHANGE, kicks="EndpointName"),
    "DescribeEndpoint": TxOperation(describe_endpoint, Access.READ),
    "ListEndpoints": TxOperation(list_endpoints, Access.READ),
}
