"""The types of the wire layer: request, answer, the call that a translator gets, and the operations of the table.

A translator turns the validated members of one operation into use cases of ``service`` and back into members of the
operation's output; members that are None are left out of the answer. It raises classes of ``domain.errors``, or
``wire.errors.NamedError`` if the service's model has a more specific error.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidegate.domain.access import Access
from tidegate.domain.alarm import Signal
from tidegate.domain.arns import resource_arn
from tidegate.domain.errors import Invalid
from tidegate.domain.observation import Observation
from tidegate.domain.registry import ContainerDefinition, PinnedModel
from tidegate.domain.targets import TargetTable
from tidegate.ports.clock import Clock, Ids
from tidegate.ports.logs import Logs
from tidegate.ports.metrics import Metrics
from tidegate.ports.queue import Queue
from tidegate.ports.store import Store, Tx
from tidegate.ports.traces import RequestTraces

Params = dict[str, Any]
"""Members by their names in the service's model; timestamps are timezone-aware, blobs are bytes."""


@dataclass(frozen=True)
class WireRequest:
    """One HTTP request. ``headers`` has lower-case names; ``query`` has no leading ``?``."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class WireResponse:
    status: int
    headers: Mapping[str, str]
    body: bytes


def ignore_endpoint(endpoint: str) -> None:
    """There is no engine to wake and no observation to show."""


async def keep_image(container: ContainerDefinition) -> str:
    """Leave the image as it is named."""
    return container.image


async def accept_any_data(url: str) -> None:
    """Treat all model data as present."""


async def refuse_registry(address: str) -> PinnedModel:
    """There is no registry."""
    raise Invalid(f"{address}: this server has no registry")


def accept_any_container(container: ContainerDefinition) -> None:
    """Treat every container as runnable."""


def accept_any_signal(signal: Signal) -> None:
    """Treat every signal as one that may be read."""


@dataclass(frozen=True)
class WireContext:
    """Everything that translators may use of the outside world."""

    store: Store
    metrics: Metrics
    clock: Clock
    ids: Ids
    region: str
    account: str
    targets: TargetTable = field(default_factory=TargetTable)
    kick: Callable[[str], None] = ignore_endpoint
    """Wakes the engine of an endpoint. Called after the transaction has been committed."""
    observed: Callable[[str], Observation | None] = ignore_endpoint
    """Returns the last observation of an endpoint."""
    runnable: Callable[[ContainerDefinition], None] = accept_any_container
    """Raises Invalid for a container that this server cannot run: an unknown image (the message lists the known
    ones), or a variable that would change which program runs."""
    check_signal: Callable[[Signal], None] = accept_any_signal
    """Raises Invalid for a signal that this server does not read."""
    check_data: Callable[[str], Awaitable[None]] = accept_any_data
    """Checks the model data at a URL. Raises MissingArtifact if there is none, ArtifactError if it is unusable;
    returns if that cannot be determined now."""
    pin_image: Callable[[ContainerDefinition], Awaitable[str]] = keep_image
    """Returns the name of a container's image with the digest that its tag stands for now; the name as it is for one
    of the server's runtimes. Raises Invalid or Unavailable."""
    resolve_model: Callable[[str], Awaitable[PinnedModel]] = refuse_registry
    """Returns what the address of a model in a registry stands for now. Raises Invalid, NotFound or Unavailable."""
    queue: Queue | None = None
    """The queue of asynchronous requests; None if the server takes none."""
    logs: Logs | None = None
    """Logs of replicas and runners; None if they are not served."""
    acceptances: RequestTraces | None = None
    """Traces of accepted asynchronous requests; None: there are none."""
    check_answers: bool = False
    """For debugging: check each answer against its output shape; a mismatch becomes InternalFailure."""


@dataclass(frozen=True)
class OperationCall:
    """One call of an operation. ``now`` is read once, so the whole call happens at one moment."""

    ctx: WireContext
    now: datetime
    request_id: str
    caller: str = ""
    """Who asks: the access key's id, or the user; empty where nobody is asked."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the request, by lower-case names; repeated ones are joined with commas."""

    def arn(self, resource: str, service: str = "sagemaker") -> str:
        """ARN of a resource such as ``endpoint/fraud``."""
        return resource_arn(service, self.ctx.region, self.ctx.account, resource)


@dataclass(frozen=True)
class TxCall(OperationCall):
    """A call inside one transaction of the store. The translator may be run again from the start, so its only effects
    are on ``tx``."""

    tx: Tx = field(kw_only=True)
    found: Any = None
    """What ``before`` of the operation returned."""


@dataclass(frozen=True)
class TxOperation:
    """An operation that is one transaction. ``kicks`` names the member with the endpoint to wake afterwards."""

    translate: Callable[[TxCall, Params], Params | None]
    access: Access
    kicks: str | None = None
    kicks_under: str = ""
    """Prefix of that name, for resources that are not endpoints."""
    before: Callable[[OperationCall, Params], Awaitable[Any]] | None = None
    """Checks and look-ups that read outside the store. They run before the transaction, which must not wait for them,
    and which gets what they return."""


@dataclass(frozen=True)
class AsyncOperation:
    """An operation that waits for other things and opens transactions itself with ``call.ctx.store.run``."""

    translate: Callable[[OperationCall, Params], Awaitable[Params | None]]
    access: Access


Operation = TxOperation | AsyncOperation
Operations = dict[str, Operation]
"""Operation name -> operation, of one service."""


# Members that AWS supports and this server does not. They are refused, since ignoring them would promise something
# that does not happen.


def refuse_unsupported(params: Params, names: Iterable[str]) -> None:
    """Raises Invalid if one of these members is set."""
    for name in names:
        if params.get(name) is not None:
            raise unsupported(name)


def unsupported(what: str) -> Invalid:
    return Invalid(f"{what} is not supported yet: leave it out")
