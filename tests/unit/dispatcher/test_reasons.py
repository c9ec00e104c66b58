"""What of a model's answer becomes the reason of a failure."""

import pytest

from tidegate.features.asynchronous.dispatcher.calls import interpret
from tidegate.queueing.transitions import FaultKind


@pytest.mark.parametrize("status", [400, 424, 500, 503])
def test_a_reason_with_half_a_surrogate_pair_can_be_recorded(status: int) -> None:
    body = b'{"Message": "no \\ud800 such", "OriginalStatusCode": 400}'
    assert interpret(status, body).reason.encode() == b"no ? such"


def test_a_reason_keeps_its_letters() -> None:
    failed = interpret(424, '{"Message": "für 😀", "OriginalStatusCode": 503}'.encode())
    assert (failed.fault, failed.reason) == (FaultKind.SERVER_ERROR, "für 😀")
