"""The only place where targets use botocore. Its calls block, so they run in threads of their own."""

import asyncio
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from tidegate.domain.errors import TargetError, TargetRefused, Transient
from tidegate.host import aws_credentials
from tidegate.targets.aws.calls import Calls, RetryingCalls
from tidegate.targets.aws.errors import ErrorAnswer, translate
from tidegate.targets.aws.options import AwsOptions

THREADS = 8
READ_TIMEOUT = 60
"""Seconds without a byte, after which a call has failed."""
_NAMES = (
    *("FunctionName", "serviceName", "service", "taskDefinition", "cluster", "RuleArn", "TargetGroupArn", "Name"),
    *("EndpointName", "EndpointConfigName", "ModelName", "logGroupName", "Bucket"),
)
"""Members that name what a call is about, those that say most first."""


def open_calls(options: AwsOptions) -> Calls:
    """Nothing is asked of AWS yet."""
    return RetryingCalls(BotocoreCalls(options), options.deadline)


@dataclass
class BotocoreCalls:
    """Tries once, without botocore's own retries."""

    options: AwsOptions
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="aws")
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _session: Any = None
    _clients: dict[str, Any] = field(default_factory=dict)

    async def call(self, service: str, operation: str, members: Mapping[str, object]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._call, service, operation, dict(members))

    def _call(self, service: str, operation: str, members: dict[str, object]) -> dict[str, Any]:
        errors: Any = import_module("botocore.exceptions")
        try:
            client = self._client(service)
            answer: dict[str, Any] = getattr(client, import_module("botocore").xform_name(operation))(**members)
            return _read_streams(answer)
        except errors.ClientError as error:
            raise _translate(service, operation, members, error.response) from None
        except (errors.NoCredentialsError, errors.PartialCredentialsError, errors.ProfileNotFound) as error:
            raise TargetRefused(
                f"{operation}: no usable AWS credentials ({error}); set a profile, environment variables or a role"
            ) from None
        except (errors.ParamValidationError, errors.UnknownServiceError, ValueError) as error:
            raise TargetRefused(f"{operation} cannot be asked: {' '.join(str(error).split())}") from None
        except errors.BotoCoreError as error:
            raise Transient(f"{operation}: AWS cannot be reached ({error})") from None

    def _client(self, service: str) -> Any:
        with self._lock:  # sessions are not safe for threads, clients are
            if self._session is None:
                self._session = aws_credentials.session(os.environ)
                if self.options.profile:
                    self._session.set_config_variable("profile", self.options.profile)
            if service not in self._clients:
                config = import_module("botocore.config").Config(
                    connect_timeout=5,
                    read_timeout=READ_TIMEOUT,
                    max_pool_connections=THREADS,
                    retries={"total_max_attempts": 1},
                    user_agent_extra="tidegate",
                )
                self._clients[service] = self._session.create_client(
                    service,
                    region_name=self.options.region,
                    endpoint_url=self.options.endpoint_url or None,
                    config=config,
                )
            return self._clients[service]


def _read_streams(answer: dict[str, Any]) -> dict[str, Any]:
    """Read bodies here, in the thread, and leave out what describes the transport."""
    return {
        name: value.read() if hasattr(value, "read") else value
        for name, value in answer.items()
        if name != "ResponseMetadata"
    }


def _translate(
    service: str, operation: str, members: Mapping[str, object], response: Mapping[str, Any]
) -> TargetError:
    told = response.get("Error", {})
    return translate(
        ErrorAnswer(
            service,
            operation,
            next((str(members[name]) for name in _NAMES if members.get(name)), ""),
            str(told.get("Code", "")),
            str(told.get("Message") or response.get("message") or ""),
            int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)),
        )
    )
