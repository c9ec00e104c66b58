"""Asynchronous requests: what is taken from whom."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from tidegate.domain.asynchronous import MAX_INLINE_BYTES, AsyncConfig, Item
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Conflict, Invalid
from tidegate.ports.store import Tx
from tidegate.queueing import destinations
from tidegate.rollout.status import status
from tidegate.service.endpoints import get_endpoint

MAX_QUEUE_SECONDS = 21_600
"""Seconds in the queue, unless a request says less."""
DEFAULT_TIMEOUT = 900
"""Seconds of one try, unless a request says otherwise."""


@dataclass(frozen=True)
class AsyncRequest:
    """One request as it came. ``body`` or ``input``, exactly one."""

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
    """How the endpoint takes asynchronous requests; None: it does not."""
    version = endpoint.serving or (endpoint.rollout.new if endpoint.rollout else None)
    found = (variant.asynchronous for variant in version.variants) if version else iter(())
    return next((config for config in found if config is not None), None)


def build_item(tx: Tx, asking: AsyncRequest, unique: UUID, now: datetime) -> Item:
    """The item that is to be accepted. ``unique`` is drawn for it. An inference id of the client's own has a part of
    ``unique`` behind it in the output's name, or two requests with one id would write to one place.

    Raises NotFound, Conflict or Invalid."""
    endpoint = get_endpoint(tx, asking.endpoint).body
    if endpoint.serving is None or endpoint.deleting:
        state, why = status(endpoint)
        raise Conflict(f"Endpoint {endpoint.name} is not in service: it is {state}{f' ({why})' if why else ''}")
    config = async_config(endpoint)
    if config is None:
        raise Invalid(f"Endpoint {endpoint.name} is not asynchronous: use InvokeEndpoint")
    if (asking.input is None) == (not asking.body):
        raise Invalid("Give either InputLocation or a body, and not both")
    if len(asking.body) > MAX_INLINE_BYTES:
        raise Invalid(
            f"The body has {len(asking.body)} bytes: {MAX_INLINE_BYTES} is the most; use InputLocation for more"
        )
    if asking.input is not None:
        destinations.check_address(asking.input, "InputLocation")
    name = (
        str(unique) if asking.inference_id is None else f"{_file_name_part(asking.inference_id)}-{unique.hex[:12]}"
    )
    output, failure = destinations.locations(config, name, asking.extension, asking.filename)
    at = now.timestamp()
    return Item(
        id=str(unique),
        endpoint=endpoint.name,
        inference_id=asking.inference_id or str(unique),
        accepted_at=at,
        expires_at=at + asking.stay,
        timeout=float(asking.timeout),
        output=output,
        failure=failure,
        input=asking.input,
        headers=asking.headers,
        success=config.success,
        error=config.error,
        include=config.include,
        retries=config.retries,
        named=asking.filename is not None,
    )


def _file_name_part(id: str) -> str:
    """An inference id as part of a file's name."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "_" for letter in id)
