"""Where copies of requests are sent."""

from tidegate.serving.contract.replica_spec import ShadowCopies
from tidegate.serving.front.copy_clients import MOST, CopyClients

GATEWAY = ShadowCopies(fleet="e/1/shadow", share_file="/s", kept="/k", port=8083)


def test_copy_goes_back_to_where_its_request_came_from() -> None:
    clients = CopyClients(GATEWAY, 10)
    first, second = clients.choose("10.0.0.1"), clients.choose("10.0.0.2")
    assert first is not None and second is not None and first is not second
    assert clients.choose("10.0.0.1") is first
    assert clients.choose("") is None


def test_gateways_that_sent_nothing_for_long_are_forgotten() -> None:
    clients = CopyClients(GATEWAY, 10)
    kept, gone = clients.choose("kept"), clients.choose("gone")
    for number in range(MOST - 1):
        clients.choose(str(number))
        assert clients.choose("kept") is kept
    assert clients.choose("gone") is not gone


def test_proxy_of_the_machine_gets_all_copies() -> None:
    clients = CopyClients(ShadowCopies(fleet="e/1/shadow", share_file="/s", kept="/k", socket="/p"), 10)
    assert clients.choose("10.0.0.1") is clients.choose("") is not None
