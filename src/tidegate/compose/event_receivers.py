"""The receivers of state changes that are named in the settings."""

import json
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tidegate.host.late_import import load
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store
from tidegate.reconcile.event_announcer import Announcer
from tidegate.service.state_events import AccountRegion
from tidegate.settings import Settings
from tidegate.storage.addresses import parse
from tidegate.storage.output_files import OutputFiles


def announcers(settings: Settings, store: Store, clock: Clock) -> list[Announcer]:
    place = AccountRegion(settings.region, settings.account)
    send = partial(_send, settings.webhook_secret)
    return [Announcer(store, clock, place, receiver, send) for receiver in settings.events]


def _send(secret: str, receiver: str, event: dict[str, Any]) -> None:
    """Blocks. Raises Transient or ArtifactError. The owner named the receiver: it need not be public."""
    body = json.dumps(event).encode()
    parts = urlsplit(receiver)
    if parts.scheme == "file":
        folder = Path(parse(receiver).path).parent
        OutputFiles((folder,)).append(receiver, body + b"\n")
    else:
        # Its HTTP client takes long to import.
        webhooks = load("tidegate.host.webhooks", "Webhooks")(secret, (parts.hostname or "",))
        webhooks.post(receiver, body, event["id"])
