"""The only place where targets use botocore: calls that block, each tried once, with errors that say what to do."""

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from tidegate.domain.errors import TargetError, TargetRefused, Transient
from tidegate.host import aws_credentials
from tidegate.host.late_import import load_module
from tidegate.targets.aws.errors import ErrorAnswer, Unanswered, translate
from tidegate.targets.aws.options import AwsAccess

OpenClient = Callable[[str, Any], Any]
"""Service and botocore's Config -> client of botocore."""
THREADS = 8
CONNECT_TIMEOUT, READ_TIMEOUT = 5, 70
"""Seconds without a connection, or without a byte, after which a call has failed."""
_NAMES = (
    *("FunctionName", "serviceName", "service", "taskDefinition", "cluster", "RuleArn", "TargetGroupArn", "Name"),
    *("EndpointName", "EndpointConfigName", "ModelName", "TransformJobName", "logGroupName", "Bucket"),
)
"""Members that name what a call is about, those that say most first."""


def open_session(options: AwsAccess) -> OpenClient:
    """Open a session with the user's own credentials: environment, profile, SSO, role of the machine. They are found
    at the first call."""
    opened: list[Any] = []

    def open_client(service: str, config: Any) -> Any:
        if not opened:
            session = aws_credentials.session(os.environ)
            if options.profile:
                session.set_config_variable("profile", options.profile)
            opened.append(session)
        return opened[0].create_client(
            service, region_name=options.region, endpoint_url=options.endpoint_url or None, config=config
        )

    return open_client


class SingleCalls:
    """Calls of AWS without botocore's own retries, which would also repeat calls that create something and whose
    answer was lost."""

    def __init__(self, open_client: OpenClient) -> None:
        self._open, self._lock = open_client, threading.Lock()
        self._clients: dict[str, Any] = {}

    def call(self, service: str, operation: str, members: Mapping[str, object]) -> dict[str, Any]:
        """Call an operation once, and return its answer. Raises Transient or TargetRefused, or one of their kinds in
        ``errors``."""

        def ask() -> dict[str, Any]:
            method = getattr(self.client(service), load_module("botocore").xform_name(operation))
            return _read_streams(method(**members))

        answer: dict[str, Any] = self.attempt(service, operation, members, ask)
        return answer

    def attempt(self, service: str, operation: str, members: Mapping[str, object], work: Callable[[], Any]) -> Any:
        """Return the result of ``work``, and raise an error of the platform in place of botocore's."""
        errors: Any = load_module("botocore.exceptions")
        unreadable = load_module("botocore.parsers").ResponseParserError
        try:
            return work()
        except errors.ClientError as error:
            raise _translate(service, operation, members, error.response) from None
        except (errors.NoCredentialsError, errors.PartialCredentialsError, errors.ProfileNotFound) as error:
            raise TargetRefused(
                f"{operation}: no usable AWS credentials ({error}): run 'aws configure', or set a profile,"
                " environment variables or a role"
            ) from None
        except (errors.TokenRetrievalError, errors.SSOError) as error:
            raise Transient(
                f"{operation}: the AWS credentials have expired ({error}): run 'aws sso login'"
            ) from None
        except (errors.ParamValidationError, errors.UnknownServiceError, ValueError) as error:
            raise TargetRefused(f"{operation} cannot be asked: {' '.join(str(error).split())}") from None
        except unreadable as error:  # a page of whatever stands between
            told = " ".join(str(error).split())[:200]
            raise Unanswered(f"{operation}: the answer is none of AWS ({told}): try again") from None
        except (errors.HTTPClientError, errors.ConnectionError) as error:
            raise Unanswered(f"{operation}: AWS cannot be reached ({error})") from None
        except errors.BotoCoreError as error:
            raise Transient(f"{operation}: AWS cannot be asked ({error})") from None

    def client(self, service: str) -> Any:
        with self._lock:  # sessions are not safe for threads, clients are
            if service not in self._clients:
                config = load_module("botocore.config").Config(
                    connect_timeout=CONNECT_TIMEOUT,
                    read_timeout=READ_TIMEOUT,
                    max_pool_connections=THREADS,
                    retries={"total_max_attempts": 1},
                    user_agent_extra="tidegate",
                )
                self._clients[service] = self._open(service, config)
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
