"""Results and reports of a request, shared by the two ways to process one: with a task of its own, and without."""

import json
import os
from dataclasses import dataclass, field
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tidegate.domain.asynchronous import ItemMeasurements, ItemOutcome, ItemState, LeasedItem, OutcomeKind
from tidegate.domain.errors import ArtifactError, NotFound, TidegateError, Transient
from tidegate.features.asynchronous.dispatcher.calls import ModelResponse
from tidegate.host import aws_credentials
from tidegate.host.webhooks import Webhooks
from tidegate.http1.messages import StreamedReply
from tidegate.ports.queue import ItemReport
from tidegate.queueing.transitions import AttemptFailed, FaultKind
from tidegate.storage.output_files import OutputFiles

MARGIN = 1.0
"""Seconds before the end of its lease from which nothing more is stored for an item."""


@dataclass(frozen=True)
class RequestProgress:
    """How far a request came without a task. ``got``: the instance's answer, or the report to write.
    ``seconds``: left for an answer that is still coming."""

    got: ModelResponse | AttemptFailed | StreamedReply | ItemReport
    values: dict[str, float] = field(default_factory=dict)
    """Measurements so far."""
    seconds: float = 0.0


def failure_of(error: TidegateError) -> AttemptFailed:
    """Classify an error that occurred when an input was read or an output was stored."""
    permanent = isinstance(error, (ArtifactError, NotFound))
    return AttemptFailed(FaultKind.INPUT if permanent else FaultKind.PLATFORM, str(error))


def end_report(
    held: LeasedItem, outcome: ItemOutcome, variant: str, values: dict[str, float], now: float
) -> ItemReport:
    """Report that the item has ended, with its measurements: ``values``, to which those that all items have are
    added."""
    item, end = held.item, outcome.end
    values["TimeInBacklog"] = (held.begun_at - item.accepted_at) * 1e3
    values["InvocationsProcesssed"] = 1.0
    values["InvocationFailures"] = 1.0 if end is OutcomeKind.FAILED else 0.0
    values["ExpiredRequests"] = 1.0 if end is OutcomeKind.EXPIRED else 0.0
    if end is not OutcomeKind.EXPIRED:
        values["TotalProcessingTime"] = (now - held.begun_at) * 1e3
    measures = ItemMeasurements(item.endpoint, variant, now, values)
    return ItemReport(item.id, held.fence, ItemState.DONE, 0.0, held.tries, held.losses, outcome, measures)


# Notifies topics, webhooks and files of how requests ended: at least once each, always with the same ``eventId``.


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
