"""Notifies topics, webhooks and files of how requests ended: at least once each, always with the same ``eventId``."""

import json
import os
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tidegate.domain.errors import Transient
from tidegate.host import aws_credentials
from tidegate.host.webhooks import Webhooks
from tidegate.storage.output_files import OutputFiles

READ_TIMEOUT = 10.0
"""Seconds to wait for a topic."""


class Notifier:
    def __init__(self, outputs: OutputFiles, webhooks: Webhooks, sns_endpoint: str, region: str) -> None:
        self._outputs = outputs
        self._sns_endpoint = sns_endpoint
        self._region = region
        self._webhooks = webhooks
        self._sns: dict[str, Any] = {}

    def send(self, sink: str, notice: dict[str, Any]) -> None:
        """Blocks. Raises Transient, or ArtifactError for what is permanent."""
        body = json.dumps(notice).encode()
        if sink.startswith("arn:"):
            self._publish(sink, body.decode())
        elif sink.startswith("file://"):
            self._outputs.append(sink, body + b"\n")
        else:
            self._webhooks.post(sink, body, str(notice["eventId"]))

    def _publish(self, topic: str, message: str) -> None:
        region = topic.split(":")[3] or self._region
        try:
            if region not in self._sns:
                config = Config(connect_timeout=5, read_timeout=READ_TIMEOUT, retries={"total_max_attempts": 2})
                self._sns[region] = aws_credentials.session(os.environ).create_client(
                    "sns", endpoint_url=self._sns_endpoint or None, region_name=region, config=config
                )
            self._sns[region].publish(TopicArn=topic, Message=message)
        except ClientError as error:
            raise Transient(f"{topic}: {error}") from None
        except (BotoCoreError, ValueError) as error:
            raise Transient(f"{topic}: {error}") from None
