"""The pytest plugin of the process that runs moto's tests, loaded by its path: it knows nothing of tidegate.

Services that tidegate serves are reached by ``AWS_ENDPOINT_URL_...``; moto's own mock stays in place for all others,
such as S3. Each outermost ``mock_aws`` starts with empty servers, and each request says what time it is for the
test, which may have frozen it.
"""

import json
import os
import urllib.request
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from botocore.httpsession import URLLib3Session
from moto.core.models import MockAWS

SERVER = os.environ["MOTO_REPLAY_SERVER"]
RESULTS = os.environ["MOTO_REPLAY_RESULTS"]

_enable = MockAWS._enable_patching
_send = URLLib3Session.send
_served: list[bool] = []
"""For each request of the test that is running: whether its operation is served."""


def _enable_empty(self: Any, reset: bool = True) -> None:
    if reset:
        urllib.request.urlopen(urllib.request.Request(f"{SERVER}/reset", method="POST")).read()
    _enable(self, reset)


def _send_with_time(self: Any, request: Any) -> Any:
    if not request.url.startswith(SERVER):
        return _send(self, request)
    request.headers["x-replay-now"] = datetime.now(UTC).isoformat()
    response = _send(self, request)
    _served.append(b"UnknownOperationException" not in response.content)
    return response


def pytest_configure() -> None:
    patch.object(MockAWS, "_enable_patching", _enable_empty).start()
    patch.object(URLLib3Session, "send", _send_with_time).start()


def pytest_runtest_logstart() -> None:
    _served.clear()


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" or report.outcome != "passed":
        _write(report.nodeid, report.outcome, report.longrepr)


def pytest_collectreport(report: Any) -> None:
    if report.outcome != "passed":
        _write(report.nodeid, report.outcome, report.longrepr)


def _write(test: str, outcome: str, shown: Any) -> None:
    crash = getattr(shown, "reprcrash", None)
    lines = str(crash.message if crash else shown or "").strip().splitlines()
    result = {"test": test, "outcome": outcome, "says": lines[0] if lines else "", "asked": any(_served)}
    with open(RESULTS, "a", encoding="utf-8") as results:
        results.write(json.dumps(result) + "\n")
