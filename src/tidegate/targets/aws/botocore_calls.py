"""Calls of AWS's APIs for the event loop: they block, so they run in threads of their own."""

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tidegate.host import aws_credentials
from tidegate.targets.aws.calls import Calls, RetryingCalls
from tidegate.targets.aws.options import AwsAccess, AwsOptions
from tidegate.targets.aws.single_calls import THREADS, OpenClient, SingleCalls


def open_calls(options: AwsOptions) -> Calls:
    """Nothing is asked of AWS yet."""
    return RetryingCalls(BotocoreCalls(options), options.deadline)


class BotocoreCalls:
    """Tries once."""

    def __init__(self, options: AwsOptions) -> None:
        self._single = SingleCalls(_opener(options))
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="aws")

    async def call(self, service: str, operation: str, members: Mapping[str, object]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._single.call, service, operation, dict(members))


def user_session(options: AwsAccess) -> Any:
    """botocore's, with the user's own credentials."""
    made = aws_credentials.session(os.environ)
    if options.profile:
        made.set_config_variable("profile", options.profile)
    return made


@dataclass
class _Session:
    """Opened when it is needed, and once."""

    options: AwsOptions
    made: list[Any] = field(default_factory=list)

    def client(self, service: str, config: Any) -> Any:
        if not self.made:
            self.made.append(user_session(self.options))
        return self.made[0].create_client(
            service,
            region_name=self.options.region,
            endpoint_url=self.options.endpoint_url or None,
            config=config,
        )


def _opener(options: AwsOptions) -> OpenClient:
    return _Session(options).client
