"""Calls of AWS's APIs: repeated with full jitter while AWS throttles them or, if that is harmless, does not answer.

``AwsClient`` blocks, for commands; ``ThreadedCalls`` makes the same calls for the event loop.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tidegate.domain.errors import StartupError, Transient
from tidegate.host.clock import SystemClock
from tidegate.host.late_import import load_module
from tidegate.ports.clock import Clock
from tidegate.targets.aws.errors import Throttled, Unanswered
from tidegate.targets.aws.options import AwsAccess, AwsOptions
from tidegate.targets.aws.single_calls import THREADS, OpenClient, SingleCalls, open_session

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 20.0
"""Seconds: the bounds of the pause before the second and before later tries (Brooker, "Exponential Backoff And
Jitter", AWS 2015)."""
PATIENCE = 300.0
"""Seconds for which a command repeats a call; nobody else does so for it."""
NOT_REPEATABLE = frozenset(
    {
        *("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "CreateTransformJob"),
        *("UpdateEndpoint", "UpdateEndpointWeightsAndCapacities"),
        *("DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"),
        *("CreateFunction", "UpdateFunctionCode", "UpdateFunctionConfiguration", "PublishVersion"),
        *("CreateAlias", "UpdateAlias"),
        *("RegisterTaskDefinition", "CreateService", "CreateTargetGroup", "CreateRule"),
    }
)
"""Operations that are not simply repeated when their answer is lost: AWS has no tokens for them by which it would
tell a second call from a repeated one, so whoever made the call looks first whether it was carried out."""
Params = dict[str, Any]
T = TypeVar("T")


class Calls(Protocol):
    async def call(self, service: str, operation: str, members: Mapping[str, object]) -> dict[str, Any]:
        """``service`` as botocore calls it (``lambda``), ``operation`` as the API does (``UpdateAlias``). Raises
        Transient or TargetRefused, or one of their kinds in ``errors``."""
        ...


class _Timekeeper(Clock, Protocol):
    def monotonic(self) -> float:
        """Seconds on a clock that nobody sets."""
        ...

    def sleep(self, seconds: float) -> None: ...


class _WallTime(SystemClock):
    """The clock of this machine, whose pauses are real."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Retry:
    """The tries of one call. ``deadline``: seconds for all of them together; ``draw``: a number from 0 to 1."""

    def __init__(
        self, operation: str, deadline: float, now: Callable[[], float], draw: Callable[[], float]
    ) -> None:
        self._operation, self._now, self._draw = operation, now, draw
        self._until, self._longest = now() + deadline, FIRST_PAUSE

    def pause_after(self, error: Transient) -> float:
        """Seconds until the next try. Raises ``error`` if there is none: another try cannot mend it, or might carry
        the call out twice, or would come too late."""
        lost = isinstance(error, Unanswered) and self._operation in NOT_REPEATABLE
        pause = self._draw() * self._longest
        if lost or not isinstance(error, Throttled | Unanswered) or self._now() + pause > self._until:
            raise error
        self._longest = min(LONGEST_PAUSE, 2 * self._longest)
        return pause


class AwsClient:
    """Calls by service and operation, which block. ``deadline``: seconds for one call with its repetitions."""

    def __init__(
        self,
        open_client: OpenClient,
        clock: _Timekeeper,
        draw: Callable[[], float] = random.random,
        deadline: float = PATIENCE,
    ) -> None:
        self.single = SingleCalls(open_client)
        self.clock, self._draw, self._deadline = clock, draw, deadline

    def pause(self, seconds: float) -> None:
        """Sleep for 75 to 125 % of the time, so that many clients do not ask at once."""
        self.clock.sleep(seconds * (0.75 + self._draw() / 2))

    def call(self, service: str, operation: str, params: Mapping[str, object] | None = None) -> Params:
        """Call an operation, with retries, and return its answer. Raises Transient or TargetRefused."""
        answer: Params = self._repeat(operation, lambda: self.single.call(service, operation, params or {}))
        return answer

    def upload(self, path: Path, bucket: str, key: str, metadata: dict[str, str]) -> None:
        """Upload a file to S3, in parts if it is large. Raises StartupError without boto3, which is an optional
        extra."""
        try:
            transfer, errors = load_module("boto3.s3.transfer"), load_module("boto3.exceptions")
        except ImportError:
            raise StartupError("uploads of model data need boto3: pip install 'tidegate[aws]'") from None
        extra = {"Metadata": metadata, "ChecksumAlgorithm": "SHA256"}

        def send() -> None:
            try:
                transfer.S3Transfer(self.single.client("s3")).upload_file(str(path), bucket, key, extra_args=extra)
            except errors.Boto3Error as error:
                raise Unanswered(f"PutObject: {error}") from None

        members = {"Bucket": bucket, "Key": key}
        self._repeat("PutObject", lambda: self.single.attempt("s3", "PutObject", members, send))

    def begin(self, operation: str) -> Retry:
        return Retry(operation, self._deadline, self.clock.monotonic, self._draw)

    def _repeat(self, operation: str, attempt: Callable[[], Any]) -> Any:
        retry = self.begin(operation)
        while True:
            try:
                return attempt()
            except Transient as error:
                self.clock.sleep(retry.pause_after(error))


@dataclass(frozen=True)
class ThreadedCalls:
    """A ``Calls``: threads are busy only while AWS is asked, not in pauses."""

    client: AwsClient
    in_thread: Callable[..., Awaitable[Any]]
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    async def call(self, service: str, operation: str, members: Mapping[str, object]) -> dict[str, Any]:
        retry = self.client.begin(operation)
        while True:
            try:
                answer: Params = await self.in_thread(lambda: self.client.single.call(service, operation, members))
                return answer
            except Transient as error:
                pause = retry.pause_after(error)
            await self.sleep(pause)


def open_client(options: AwsAccess, deadline: float = PATIENCE) -> AwsClient:
    """Open a client with the user's own credentials. It does not call AWS yet."""
    return AwsClient(open_session(options), _WallTime(), deadline=deadline)


def open_calls(options: AwsOptions) -> Calls:
    """Open a client that makes its calls in threads. It does not call AWS yet."""
    return ThreadedCalls(open_client(options, options.deadline), open_threads("aws"))


def open_threads(name: str) -> Callable[[Callable[[], T]], Awaitable[T]]:
    """Threads for calls that block, so that slow ones take none of the event loop's own. As ``asyncio.to_thread``."""
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix=name)

    def in_thread(work: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(threads, work)

    return in_thread
