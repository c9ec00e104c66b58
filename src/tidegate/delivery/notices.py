"""Tells topics, webhooks and files how requests ended. At least once each; ``eventId`` is the same each time."""

import hashlib
import hmac
import json
import time
from typing import Any

import botocore.session
import httpx
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tidegate.delivery.objects import Objects
from tidegate.model.errors import ArtifactError, Transient

SIGNATURE, TIMESTAMP, EVENT = "X-Tidegate-Signature", "X-Tidegate-Timestamp", "X-Tidegate-Event-Id"
PATIENCE = 10.0
"""Seconds that a receiver may take."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """``sha256=`` and the hex HMAC-SHA256 of the timestamp, a dot and the body."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class Notices:
    def __init__(self, objects: Objects, sns_endpoint: str, region: str, secret: str) -> None:
        self._objects = objects
        self._sns_endpoint = sns_endpoint
        self._region = region
        self._secret = secret
        self._sns: dict[str, Any] = {}

    def send(self, sink: str, notice: dict[str, Any]) -> None:
        """Blocks. Raises Transient, or ArtifactError for what will not get better."""
        body = json.dumps(notice).encode()
        if sink.startswith("arn:"):
            self._publish(sink, body.decode())
        elif sink.startswith("file://"):
            self._objects.append(sink, body + b"\n")
        else:
            self._post(sink, body, str(notice["eventId"]))

    def _publish(self, topic: str, message: str) -> None:
        region = topic.split(":")[3] or self._region
        try:
            if region not in self._sns:
                config = Config(connect_timeout=5, read_timeout=PATIENCE, retries={"total_max_attempts": 2})
                self._sns[region] = botocore.session.get_session().create_client(
                    "sns", endpoint_url=self._sns_endpoint or None, region_name=region, config=config
                )
            self._sns[region].publish(TopicArn=topic, Message=message)
        except ClientError as error:
            raise Transient(f"{topic}: {error}") from None
        except (BotoCoreError, ValueError) as error:
            raise Transient(f"{topic}: {error}") from None

    def _post(self, url: str, body: bytes, event: str) -> None:
        if not self._secret:
            raise ArtifactError(f"{url}: this server has no TIDEGATE_WEBHOOK_SECRET to sign webhooks with")
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            TIMESTAMP: timestamp,
            EVENT: event,
            SIGNATURE: signature(self._secret, timestamp, body),
        }
        try:
            answer = httpx.post(url, content=body, headers=headers, timeout=PATIENCE, trust_env=False)
        except httpx.HTTPError as error:
            raise Transient(f"{url}: {error}") from None
        if not answer.is_success:
            raise Transient(f"{url}: answered {answer.status_code}")
