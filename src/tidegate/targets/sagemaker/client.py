"""boto3, imported here and nowhere else: an optional extra. Calls block; engine mode makes them in threads."""

import random
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from tidegate.domain.errors import StartupError, TargetRefused
from tidegate.ports.clock import Clock
from tidegate.targets.sagemaker.aws_errors import AwsThrottled, AwsUnanswered, translate
from tidegate.targets.sagemaker.calls import Params
from tidegate.targets.sagemaker.options import SagemakerOptions

NOT_REPEATABLE = (
    "CreateModel",
    "CreateEndpointConfig",
    "CreateEndpoint",
    "CreateTransformJob",
    "UpdateEndpoint",
    "UpdateEndpointWeightsAndCapacities",
    "DeleteEndpoint",
    "DeleteEndpointConfig",
    "DeleteModel",
)
"""SageMaker's calls have no client tokens: after a lost answer look before repeating one of these."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds, of which a random part is waited (full jitter)."""
PATIENCE = 300.0
"""Seconds for which a call is repeated."""


class Timekeeper(Clock, Protocol):
    def sleep(self, seconds: float) -> None: ...


def import_boto3() -> Any:
    """Raises StartupError that says how to install it."""
    try:
        return import_module("boto3")
    except ImportError:
        raise StartupError("the sagemaker target needs boto3: pip install 'tidegate[aws]'") from None


def open_session(options: SagemakerOptions) -> Any:
    """A session with the user's own credentials: environment, profile, SSO, instance role."""
    return import_boto3().Session(region_name=options.region)


class AwsClient:
    """Calls by service and operation, each repeated while AWS throttles it or (if that is harmless) does not
    answer."""

    def __init__(
        self,
        session: Any,
        options: SagemakerOptions,
        clock: Timekeeper,
        draw: Callable[[], float] = random.random,
        patience: float = PATIENCE,
    ) -> None:
        self._session, self._options, self._clock, self._draw = session, options, clock, draw
        self._patience = patience
        self._clients: dict[str, Any] = {}

    @property
    def clock(self) -> Timekeeper:
        return self._clock

    def pause(self, seconds: float) -> None:
        """Sleep for 75 to 125 % of the time, so that many clients do not ask at once."""
        self._clock.sleep(seconds * (0.75 + self._draw() / 2))

    def call(self, service: str, operation: str, params: Params | None = None) -> Params:
        """Raises Transient or TargetRefused."""
        answer: Params = self._patiently(operation, lambda: self._once(service, operation, params or {}))
        return answer

    def upload(self, path: Path, bucket: str, key: str, metadata: dict[str, str]) -> None:
        """In parts where the file is large."""
        extra = {"Metadata": metadata, "ChecksumAlgorithm": "SHA256"}
        client = self._client("s3")
        self._patiently(
            "PutObject",
            lambda: self._translated("PutObject", lambda: client.upload_file(str(path), bucket, key, extra)),
        )

    def _patiently(self, operation: str, attempt: Callable[[], Any]) -> Any:
        start, longest = self._clock.now(), FIRST_PAUSE
        while True:
            try:
                return attempt()
            except (AwsThrottled, AwsUnanswered) as error:
                lost = isinstance(error, AwsUnanswered) and operation in NOT_REPEATABLE
                if lost or (self._clock.now() - start).total_seconds() >= self._patience:
                    raise
            self._clock.sleep(longest * (0.1 + 0.9 * self._draw()))
            longest = min(LONGEST_PAUSE, 2 * longest)

    def _once(self, service: str, operation: str, params: Params) -> Params:
        method = getattr(self._client(service), import_module("botocore").xform_name(operation))
        answer: Params = self._translated(operation, lambda: method(**params))
        answer.pop("ResponseMetadata", None)
        return answer

    def _translated(self, operation: str, attempt: Callable[[], Any]) -> Any:
        errors: Any = import_module("botocore.exceptions")
        try:
            return attempt()
        except errors.ClientError as error:
            raise translate(operation, error.response) from None
        except (errors.NoCredentialsError, errors.PartialCredentialsError, errors.ProfileNotFound) as error:
            raise TargetRefused(f"no AWS credentials: {error}; run 'aws configure' or set AWS_PROFILE") from None
        except (errors.TokenRetrievalError, errors.SSOError) as error:
            raise TargetRefused(f"AWS credentials: {error}; run 'aws sso login'") from None
        except (errors.HTTPClientError, errors.ConnectionError) as error:
            raise AwsUnanswered(f"{operation}: no answer from AWS: {error}") from None
        except errors.ParamValidationError as error:
            raise TargetRefused(f"{operation}: {' '.join(str(error).split())}") from None
        except errors.BotoCoreError as error:
            raise TargetRefused(f"{operation}: {error}") from None
        except import_module("boto3.exceptions").Boto3Error as error:
            raise AwsUnanswered(f"{operation}: {error}") from None

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            config = import_module("botocore.config").Config(
                # Repeating is decided above: botocore would also repeat Create calls whose answer was lost.
                retries={"total_max_attempts": 1},
                connect_timeout=10,
                read_timeout=70,
                user_agent_extra="tidegate",
            )
            url = self._options.endpoint_url or None
            self._clients[service] = self._session.client(service, config=config, endpoint_url=url)
        return self._clients[service]
