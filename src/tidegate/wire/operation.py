"""What the wire hands around: a request, an answer, the call a translator gets, and the rows of the table.

A translator turns the validated members of one operation into use cases of ``service`` and back into members
of the operation's output; members that are None are left out of the answer. It raises ``model.errors`` classes,
or ``wire.errors.NamedError`` where the service's model has an error name of its own.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidegate.domain.arns import resource_arn
from tidegate.domain.observation import Capabilities, Observation
from tidegate.domain.registry import Container
from tidegate.ports.clock import Clock, Ids
from tidegate.ports.logs import Logs
from tidegate.ports.metrics import Metrics
from tidegate.ports.queue import Queue
from tidegate.ports.store import Store, Tx

Params = dict[str, Any]
"""Members by their names in the service's model; timestamps are aware datetimes, blobs are bytes."""


@dataclass(frozen=True)
class WireRequest:
    """One HTTP request as it came in. ``headers`` has lower-case names; ``query`` is without its ``?``."""

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
    """No engine to wake, or no observation to show."""


async def accept_any_data(url: str) -> None:
    """Model data is there, whatever its address."""


def accept_any_container(container: Container) -> None:
    """Every container can be run."""


@dataclass(frozen=True)
class WireContext:
    """All that translators may use of the world."""

    store: Store
    metrics: Metrics
    clock: Clock
    ids: Ids
    region: str
    account: str
    can: Capabilities = field(default_factory=Capabilities)
    kick: Callable[[str], None] = ignore_endpoint
    """Wakes the engine of an endpoint; called after the transaction has landed."""
    observed: Callable[[str], Observation | None] = ignore_endpoint
    """The last observation of an endpoint."""
    runnable: Callable[[Container], None] = accept_any_container
    """Raises Invalid for a container that this server cannot run: an image that its table does not have (naming
    those it has), a variable that would change which program runs."""
    check_data: Callable[[str], Awaitable[None]] = accept_any_data
    """Looks for the model data at a URL. Raises MissingArtifact where there is none, ArtifactError where it cannot be
    used; returns where that cannot be known now."""
    queue: Queue | None = None
    """Of asynchronous requests; None: none are taken."""
    logs: Logs | None = None
    """What replicas and runners wrote; None: nothing of it is shown."""
    check_answers: bool = False
    """Debug: check each answer against its output shape; one that does not fit becomes InternalFailure."""


@dataclass(frozen=True)
class OperationCall:
    """One call of an operation. ``now`` is read once, so that all of a call happens at one moment."""

    ctx: WireContext
    now: datetime
    request_id: str
    access_key: str = ""

    def arn(self, resource: str, service: str = "sagemaker") -> str:
        """``resource`` is like ``endpoint/fraud``."""
        return resource_arn(service, self.ctx.region, self.ctx.account, resource)


@dataclass(frozen=True)
class TxCall(OperationCall):
    """A call inside one transaction of the store. It may be run again from the start, so it has no effects but
    those on ``tx``."""

    tx: Tx = field(kw_only=True)


@dataclass(frozen=True)
class TxOperation:
    """An operation that is one transaction. ``kicks`` names the member with the endpoint to wake afterwards."""

    translate: Callable[[TxCall, Params], Params | None]
    kicks: str | None = None
    kicks_under: str = ""
    """What comes before that name, for things that are no endpoints."""
    before: Callable[[OperationCall, Params], Awaitable[None]] | None = None
    """Checks that look outside the store; they come before the transaction, which must not wait for them."""


@dataclass(frozen=True)
class AsyncOperation:
    """An operation that awaits what it needs and opens transactions itself with ``call.ctx.store.run``."""

    translate: Callable[[OperationCall, Params], Awaitable[Params | None]]


Operation = TxOperation | AsyncOperation
Operations = dict[str, Operation]
"""Operation name -> row, of one service."""
