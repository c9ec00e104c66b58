"""Fleets for which a request waits, by what HAProxy says."""

from tidegate.domain.fleet import FleetId
from tidegate.proxy.waiting_requests import FORGOTTEN, WaitingRequests

FLEET = FleetId("fraud", 1, "AllTraffic")


def test_first_request_counts_until_no_call_comes() -> None:
    now = [0.0]
    waiting = WaitingRequests(lambda: now[0])
    waiting.note(FLEET, 100.0)
    now[0] = FORGOTTEN / 2
    waiting.note(FLEET, 100.5)
    assert waiting.now() == {FLEET: 100.0}
    now[0] = FORGOTTEN
    assert waiting.now() == {FLEET: 100.0}
    now[0] = 2 * FORGOTTEN
    assert waiting.now() == {}
    waiting.note(FLEET, 103.0)
    assert waiting.now() == {FLEET: 103.0}
