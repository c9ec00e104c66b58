"""Dependencies of the gateway, which ``compose`` provides."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol
from urllib.parse import urlsplit

from tidegate.auth import same_site
from tidegate.auth.logins import Logins
from tidegate.domain.transform import TransformProgress
from tidegate.ports.artifacts import Artifacts
from tidegate.ports.logs import ReplicaLog
from tidegate.service.audit_trail import Trail
from tidegate.settings import Settings
from tidegate.wire.operation import WireContext


def _none() -> str | None:
    return None


def _no_progress(name: str) -> None:
    return None


async def _return_none() -> str | None:
    return None


@dataclass(frozen=True)
class PredictionResponse:
    """Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Predict(Protocol):
    async def __call__(self, path: str, headers: Mapping[str, str], body: bytes) -> PredictionResponse:
        """Send a prediction through the proxy, signed where that is needed. Raises Unavailable."""
        ...


@dataclass(frozen=True)
class Gateway:
    settings: Settings
    context: WireContext
    """Store, metrics, clock and the rest; the native API uses the same ones as the wire."""
    signed: bool
    """Whether every request must be authenticated (``auth.keys.is_login_required``)."""
    logins: Logins
    trail: Trail
    predict: Predict
    proxy_up: Callable[[], Awaitable[bool]]
    prometheus: Callable[[], Awaitable[str]]
    """The page for ``/metrics``."""
    logs: Callable[[str, int], Awaitable[Sequence[ReplicaLog]]]
    """The last so many log lines of each replica of an endpoint."""
    models: Callable[[str, int], Awaitable[Sequence[Mapping[str, object]]]]
    """Returns the models that each replica of an endpoint has loaded, up to a limit per replica, as JSON data."""
    down: Callable[[], None]
    """Asks the whole platform to drain and stop; returns at once."""
    changed: asyncio.Event
    """Set and cleared after each write of a record, to wake requests that wait for events."""
    progress: Callable[[str], TransformProgress | None] = _no_progress
    """Returns the progress of a transform job's runner; None if there is none."""
    artifacts: Artifacts | None = None
    """Model data of earlier versions; None: the target keeps none."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server ends, to end streams that would hold it up."""
    installation: str = ""
    """Id of the state folder's installation."""
    trouble: Callable[[], str | None] = _none
    """Returns why the loops cannot save their work; None if they can."""
    unwritable: Callable[[], Awaitable[str | None]] = _return_none
    """Returns why the state folder cannot be written; None if it can."""

    @cached_property
    def own_hosts(self) -> "re.Pattern[str]":
        """Pattern of the values of ``Host`` that mean this server. Its public name is none where nobody is asked."""
        public = urlsplit(self.settings.public_url).hostname if self.signed else None
        names = (*self.settings.allowed_hosts, *([public] if public else []))
        return same_site.compile_pattern(same_site.own_host_pattern(self.settings.host, names))
