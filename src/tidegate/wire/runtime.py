"""Predictions that reach the controller. The proxy handles every endpoint that has routes, so the answer here can
only say why an endpoint is not served."""

from tidegate.domain.access import Access
from tidegate.domain.errors import Conflict, Invalid, Unavailable
from tidegate.rollout.status import status
from tidegate.service.endpoints import get_endpoint
from tidegate.wire.operation import Operations, Params, TxCall, TxOperation


def invoke_endpoint(call: TxCall, params: Params) -> Params:
    endpoint = get_endpoint(call.tx, params["EndpointName"]).body
    if endpoint.asynchronous is not None:
        raise Invalid(f"Endpoint {endpoint.name} is asynchronous: use InvokeEndpointAsync")
    if endpoint.serving is None or endpoint.deleting:
        now, why = status(endpoint)
        raise Conflict(f"Endpoint {endpoint.name} is not in service: it is {now}{f' ({why})' if why else ''}")
    raise Unavailable(f"No healthy instance of endpoint {endpoint.name} could take the request: try again")


OPERATIONS: Operations = {
    "InvokeEndpoint": TxOperation(invoke_endpoint, Access.USE),
    "InvokeEndpointWithResponseStream": TxOperation(invoke_endpoint, Access.USE),
}
