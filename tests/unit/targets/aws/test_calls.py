"""Calls of AWS through botocore and HTTP: what each error becomes, and which are tried again."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.fake_aws.clock import START
from tidegate.domain.errors import Invalid, TargetRefused, Transient
from tidegate.targets.aws.client import AwsClient, ThreadedCalls, open_calls
from tidegate.targets.aws.errors import (
    AccessDenied,
    AwsRefused,
    ErrorAnswer,
    ResourceBusy,
    ResourceChanged,
    ResourceExists,
    ResourceMissing,
    Throttled,
    Unanswered,
    translate,
)
from tidegate.targets.aws.options import AwsOptions, parse_options
from tidegate.targets.aws.ownership import ACCOUNT, check_own, owner_tags
from tidegate.targets.aws.policies import CallRow, least_policy
from tidegate.targets.aws.single_calls import SingleCalls, open_session


@dataclass
class Service:
    """Answers Lambda's GetFunctionConfiguration with these (status, error code), the last one for ever."""

    answers: list[tuple[int, str]]
    asked: int = 0
    address: str = ""
    paths: list[str] = field(default_factory=list)

    def next(self, path: str) -> tuple[int, str]:
        self.asked += 1
        self.paths.append(path)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    for name, value in (("ACCESS_KEY_ID", "AKIAEXAMPLE"), ("SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(f"AWS_{name}", value)
    made = Service([(200, "")])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, code = made.next(self.path)
            body = json.dumps({"FunctionName": "fraud"} if status == 200 else {"message": "told"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if code:
                self.send_header("x-amzn-ErrorType", code)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


def options(service: Service) -> AwsOptions:
    return AwsOptions(region="eu-central-1", endpoint_url=service.address)


GET = ("lambda", "GetFunctionConfiguration", {"FunctionName": "fraud"})


def ask(given: AwsOptions) -> dict[str, object]:
    """Once."""
    return SingleCalls(open_session(given)).call(*GET)


@dataclass
class Pauses:
    """A clock on which only pauses take time."""

    made: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return sum(self.made)

    def sleep(self, seconds: float) -> None:
        self.made.append(seconds)


Call = Callable[..., dict[str, Any]]


@pytest.fixture(params=["blocking", "in threads"])
def retrying(request: pytest.FixtureRequest, service: Service) -> Callable[[float], tuple[Call, list[float]]]:
    """A caller with a deadline, for commands and for the event loop, and its pauses."""

    def make(deadline: float) -> tuple[Call, list[float]]:
        clock = Pauses()
        client = AwsClient(open_session(options(service)), clock, lambda: 1.0, deadline)
        if request.param == "blocking":
            return client.call, clock.made

        async def pause(seconds: float) -> None:
            clock.sleep(seconds)

        calls = ThreadedCalls(client, asyncio.to_thread, pause)
        return lambda *asked: asyncio.run(calls.call(*asked)), clock.made

    return make


Retrying = Callable[[float], tuple[Call, list[float]]]


@pytest.mark.parametrize(
    ("status", "code", "kind", "told"),
    [
        (
            404,
            "ResourceNotFoundException",
            ResourceMissing,
            "GetFunctionConfiguration of fraud: it does not exist",
        ),
        (412, "PreconditionFailedException", ResourceChanged, "it was changed meanwhile"),
        (409, "ResourceConflictException", ResourceBusy, "another change is in progress"),
        (429, "TooManyRequestsException", Throttled, "AWS throttles GetFunctionConfiguration of fraud"),
        (403, "AccessDeniedException", AccessDenied, "lack the right lambda:GetFunctionConfiguration"),
        (403, "ExpiredTokenException", Transient, "the AWS credentials have expired; renew them"),
        (403, "UnrecognizedClientException", AwsRefused, "AWS does not know these credentials"),
        (400, "CodeStorageExceededException", AwsRefused, "a quota of the account is reached"),
        (500, "ServiceException", Unanswered, "AWS cannot answer now"),
        (400, "InvalidParameterValueException", AwsRefused, "AWS refused it"),
    ],
)
def test_each_error_of_aws_has_its_kind(
    service: Service, status: int, code: str, kind: type[Exception], told: str
) -> None:
    service.answers = [(status, code)]
    with pytest.raises(kind, match=told) as raised:
        ask(options(service))
    assert type(raised.value) is kind


def test_a_wrong_clock_is_named() -> None:
    answer = ErrorAnswer("lambda", "Invoke", "", "InvalidSignatureException", "Signature expired: 1 is now", 403)
    assert "the clock of this machine differs" in str(translate(answer))


def test_throttling_is_tried_again_with_growing_pauses(service: Service, retrying: Retrying) -> None:
    service.answers = [
        (429, "TooManyRequestsException"),
        (503, "ServiceException"),
        (429, "ThrottlingException"),
        (200, ""),
    ]
    call, pauses = retrying(30.0)
    assert call(*GET) == {"FunctionName": "fraud"}
    assert service.asked == 4
    assert pauses == [0.2, 0.4, 0.8]


@pytest.mark.parametrize(
    ("service_name", "operation", "members"),
    [
        ("elbv2", "CreateRule", {"ListenerArn": "l", "Priority": 5, "Conditions": [], "Actions": []}),
        ("sagemaker", "CreateEndpoint", {"EndpointName": "fraud", "EndpointConfigName": "v1"}),
    ],
)
def test_a_call_that_may_have_created_something_is_not_simply_made_again(
    service: Service, retrying: Retrying, service_name: str, operation: str, members: dict[str, object]
) -> None:
    service.answers = [(503, "ServiceUnavailable")]
    call, _ = retrying(30.0)
    with pytest.raises(Unanswered):
        call(service_name, operation, members)
    assert service.asked == 1


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("ValidationException", "Cannot create already existing endpoint", ResourceExists),
        ("ResourceInUse", "", ResourceExists),
        ("ValidationException", "Cannot update in-progress endpoint", ResourceBusy),
        ("ValidationException", "Could not find endpoint", ResourceMissing),
        ("ResourceLimitExceeded", "The account-level service limit is 2 Instances", AwsRefused),
    ],
)
def test_sagemaker_tells_kinds_of_errors_by_its_sentences(code: str, message: str, kind: type[Exception]) -> None:
    assert type(translate(ErrorAnswer("sagemaker", "CreateEndpoint", "fraud", code, message, 400))) is kind


def test_tries_end_at_the_deadline(service: Service, retrying: Retrying) -> None:
    service.answers = [(429, "TooManyRequestsException")]
    call, pauses = retrying(3.0)
    with pytest.raises(Throttled):
        call(*GET)
    assert pauses == [0.2, 0.4, 0.8, 1.6]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (412, "PreconditionFailedException"),
        (409, "ResourceConflictException"),
        (403, "AccessDeniedException"),
        (403, "ExpiredTokenException"),
    ],
)
def test_what_another_try_cannot_mend_is_asked_once(
    service: Service, retrying: Retrying, status: int, code: str
) -> None:
    service.answers = [(status, code)]
    call, _ = retrying(30.0)
    with pytest.raises((TargetRefused, Transient)):
        call(*GET)
    assert service.asked == 1


def test_a_service_that_is_away_is_transient(service: Service) -> None:
    away = AwsOptions(region="eu-central-1", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(Transient, match="AWS cannot be reached"):
        ask(away)


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(TargetRefused, match="no usable AWS credentials"):
        ask(AwsOptions(region="eu-central-1"))


def test_a_profile_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(TargetRefused, match=r"no usable AWS credentials.*payroll"):
        ask(AwsOptions(region="eu-central-1", profile="payroll"))


def test_members_that_botocore_refuses_are_never_sent(service: Service) -> None:
    with pytest.raises(TargetRefused, match=r"UpdateAlias cannot be asked: .*FunctionName"):
        asyncio.run(open_calls(options(service)).call("lambda", "UpdateAlias", {"Name": "live"}))
    assert service.asked == 0


def test_unknown_settings_are_named_with_those_there_are() -> None:
    with pytest.raises(Invalid, match=r"settings of target 'lambda': .*regoin.*the settings are region, profile"):
        parse_options({"region": "eu-central-1", "regoin": "x"}, AwsOptions, "lambda")
    with pytest.raises(Invalid, match="region"):
        parse_options({}, AwsOptions, "lambda")


def test_what_another_installation_created_is_refused() -> None:
    for owner in ("payroll", ACCOUNT):
        own = owner_tags(owner, "fraud")
        check_own({**own, "cost": "42"}, owner, "fraud", "function fraud")
        for foreign in ({}, owner_tags("other", "fraud"), owner_tags(owner, "other")):
            with pytest.raises(TargetRefused, match="function fraud exists and does not belong"):
                check_own(foreign, owner, "fraud", "function fraud")


def test_a_policy_names_actions_as_iam_does() -> None:
    row = CallRow("elbv2", ("ModifyRule",), ("*",), "shift traffic", (("StringEquals", "aws:ResourceTag/a", "b"),))
    assert least_policy([row])["Statement"] == [
        {
            "Sid": "ShiftTraffic",
            "Effect": "Allow",
            "Action": ["elasticloadbalancing:ModifyRule"],
            "Resource": ["*"],
            "Condition": {"StringEquals": {"aws:ResourceTag/a": "b"}},
        }
    ]
