"""Calls of AWS's APIs that block, repeated while AWS throttles them or, if that is harmless, does not answer. boto3
is imported here and nowhere else: it is an optional extra."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tidegate.domain.errors import StartupError
from tidegate.host.late_import import load_module
from tidegate.ports.clock import Clock
from tidegate.targets.aws.botocore_calls import user_session
from tidegate.targets.aws.errors import Throttled, Unanswered
from tidegate.targets.aws.options import AwsAccess
from tidegate.targets.aws.repeatable import NOT_REPEATABLE
from tidegate.targets.aws.single_calls import THREADS, SingleCalls

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds, of which a random part is waited (full jitter)."""
PATIENCE = 300.0
"""Seconds for which a call is repeated."""
Params = dict[str, Any]
T = TypeVar("T")


class Timekeeper(Clock, Protocol):
    def sleep(self, seconds: float) -> None: ...


def import_boto3() -> Any:
    """Raises StartupError that says how to install it."""
    try:
        return load_module("boto3")
    except ImportError:
        raise StartupError("the sagemaker target needs boto3: pip install 'tidegate[aws]'") from None


def open_session(options: AwsAccess) -> Any:
    """A session with the user's own credentials: environment, profile, SSO, instance role."""
    return import_boto3().Session(botocore_session=user_session(options), region_name=options.region)


class AwsClient:
    """Calls by service and operation. ``endpoint_url``: of every service; empty: AWS."""

    def __init__(
        self,
        session: Any,
        endpoint_url: str,
        clock: Timekeeper,
        draw: Callable[[], float] = random.random,
        patience: float = PATIENCE,
    ) -> None:
        self._single = SingleCalls(
            lambda service, config: session.client(service, config=config, endpoint_url=endpoint_url or None)
        )
        self._clock, self._draw, self._patience = clock, draw, patience

    @property
    def clock(self) -> Timekeeper:
        return self._clock

    def pause(self, seconds: float) -> None:
        """Sleep for 75 to 125 % of the time, so that many clients do not ask at once."""
        self._clock.sleep(seconds * (0.75 + self._draw() / 2))

    def call(self, service: str, operation: str, params: Mapping[str, object] | None = None) -> Params:
        """Raises Transient or TargetRefused."""
        answer: Params = self._patiently(operation, lambda: self._single.call(service, operation, params or {}))
        return answer

    def upload(self, path: Path, bucket: str, key: str, metadata: dict[str, str]) -> None:
        """In parts where the file is large."""
        extra = {"Metadata": metadata, "ChecksumAlgorithm": "SHA256"}

        def send() -> None:
            try:
                self._single.client("s3").upload_file(str(path), bucket, key, extra)
            except load_module("boto3.exceptions").Boto3Error as error:
                raise Unanswered(f"PutObject: {error}") from None

        self._patiently(
            "PutObject", lambda: self._single.attempt("s3", "PutObject", {"Bucket": bucket, "Key": key}, send)
        )

    def _patiently(self, operation: str, attempt: Callable[[], Any]) -> Any:
        start, longest = self._clock.now(), FIRST_PAUSE
        while True:
            try:
                return attempt()
            except (Throttled, Unanswered) as error:
                lost = isinstance(error, Unanswered) and operation in NOT_REPEATABLE
                if lost or (self._clock.now() - start).total_seconds() >= self._patience:
                    raise
            self._clock.sleep(longest * (0.1 + 0.9 * self._draw()))
            longest = min(LONGEST_PAUSE, 2 * longest)


def open_threads(name: str) -> Callable[[Callable[[], T]], Awaitable[T]]:
    """Threads for calls that block, so that slow ones take none of the event loop's own. As ``asyncio.to_thread``."""
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix=name)

    def in_thread(work: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(threads, work)

    return in_thread


@dataclass(frozen=True)
class ThreadedCalls:
    """A ``targets.aws.calls.Calls`` over a client that blocks."""

    client: AwsClient
    in_thread: Callable[..., Awaitable[Any]]

    async def call(self, service: str, operation: str, members: Mapping[str, object]) -> dict[str, Any]:
        answer: dict[str, Any] = await self.in_thread(lambda: self.client.call(service, operation, members))
        return answer
