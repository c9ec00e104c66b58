"""Accept asynchronous requests."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from tidegate.domain.asynchronous import MAX_INLINE_BYTES, AsyncConfig, Item
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.observation import Event
from tidegate.features.asynchronous import destinations
from tidegate.ports.store import Tx
from tidegate.rollout.status import status
from tidegate.service.endpoints import get_endpoint, save
from tidegate.storage.addresses import check_address

MAX_QUEUE_SECONDS = 21_600
"""Seconds that a request may wait in the queue, unless it says less."""
DEFAULT_TIMEOUT = 900
"""Seconds per try, unless a request says otherwise."""


@dataclass(frozen=True)
class AsyncRequest:
    """One request as received. Exactly one of ``body`` and ``input`` is set."""

    endpoint: str
    body: bytes = b""
    input: str | None = None
    inference_id: str | None = None
    stay: int = MAX_QUEUE_SECONDS
    timeout: int = DEFAULT_TIMEOUT
    extension: str | None = None
    filename: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def async_config(endpoint: Endpoint) -> AsyncConfig | None:
    """Asynchronous configuration of the endpoint; None: it has none."""
    return endpoint.asynchronous


def note_emptying(tx: Tx, name: str, waiting: int, by: str, reason: str, now: datetime) -> None:
    """Journal that the queue is emptied, before it is. Raises NotFound, or Invalid for one without a queue."""
    saved = get_endpoint(tx, name)
    if saved.body.asynchronous is None:
        raise Invalid(f"Endpoint {name} is not asynchronous: it has no queue")
    message = f"emptying the queue, {waiting} waiting, asked for by {by}"
    data: dict[str, object] = {"by": by, "waiting": waiting, **({"reason": reason} if reason else {})}
    save(tx, saved, saved.body, Event("queue", f"{message}: {reason}" if reason else message, data), now)


def build_item(tx: Tx, request: AsyncRequest, unique: UUID, now: datetime) -> Item:
    """Build the item to accept; ``unique`` is a new UUID for it, random at its end. In the output's name a client's
    own inference id is followed by that end, since two requests with the same id would overwrite each other's output.

    Raises NotFound, Conflict or Invalid."""
    endpoint = get_endpoint(tx, request.endpoint).body
    if endpoint.serving is None or endpoint.deleting:
        state, why = status(endpoint)
        raise Conflict(f"Endpoint {endpoint.name} is not in service: it is {state}{f' ({why})' if why else ''}")
    config = endpoint.asynchronous
    if config is None:
        raise Invalid(f"Endpoint {endpoint.name} is not asynchronous: use InvokeEndpoint")
    if (request.input is None) == (not request.body):
        raise Invalid("Give either InputLocation or a body, and not both")
    if len(request.body) > MAX_INLINE_BYTES:
        raise Invalid(
            f"The body has {len(request.body)} bytes: the maximum is {MAX_INLINE_BYTES}; use InputLocation for larger"
            " inputs"
        )
    if request.input is not None:
        check_address(request.input, "InputLocation")
    id = str(unique)
    name = id if request.inference_id is None else f"{_file_name_part(request.inference_id)}-{unique.hex[-12:]}"
    output, failure = destinations.locations(config, name, request.extension, request.filename)
    at = now.timestamp()
    return Item(
        id=id,
        endpoint=endpoint.name,
        inference_id=request.inference_id or id,
        accepted_at=at,
        expires_at=at + request.stay,
        timeout=float(request.timeout),
        output=output,
        failure=failure,
        input=request.input,
        headers=request.headers,
        success=config.success,
        error=config.error,
        include=config.include,
        retries=config.retries,
        named=request.filename is not None,
    )


def _file_name_part(id: str) -> str:
    """Inference id as part of a file name."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "_" for letter in id)
