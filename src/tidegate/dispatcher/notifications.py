"""Tells topics, webhooks and files how requests ended. At least once each; ``eventId`` is the same each time."""

import json
import os
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tidegate.dispatcher.files import Files
from tidegate.dispatcher.webhooks import Webhooks
from tidegate.domain.errors import Transient
from tidegate.host import aws_credentials

PATIENCE = 10.0
"""Seconds that a topic may take."""


class Notices:
    def __init__(self, files: Files, webhooks: Webhooks, sns_endpoint: str, region: str) -> None:
        self._files = files
        self._sns_endpoint = sns_endpoint
        self._region = region
        self._webhooks = webhooks
        self._sns: dict[str, Any] = {}

    def send(self, sink: str, notice: dict[str, Any]) -> None:
        """Blocks. Raises Transient, or ArtifactError for what will not get better."""
        body = json.dumps(notice).encode()
        if sink.startswith("arn:"):
            self._publish(sink, body.decode())
        elif sink.startswith("file://"):
            self._files.append(sink, body + b"\n")
        else:
            self._webhooks.post(sink, body, str(notice["eventId"]))

    def _publish(self, topic: str, message: str) -> None:
        region = topic.split(":")[3] or self._region
        try:
            if region not in self._sns:
                config = Config(connect_timeout=5, read_timeout=PATIENCE, retries={"total_max_attempts": 2})
                self._sns[region] = aws_credentials.session(os.environ).create_client(
                    "sns", endpoint_url=self._sns_endpoint or None, region_name=region, config=config
                )
            self._sns[region].publish(TopicArn=topic, Message=message)
        except ClientError as error:
            raise Transient(f"{topic}: {error}") from None
        except (BotoCoreError, ValueError) as error:
            raise Transient(f"{topic}: {error}") from None
