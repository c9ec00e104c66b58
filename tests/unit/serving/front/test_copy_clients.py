"""Where copies of requests are sent."""

from functools import partial

from tidegate.serving.contract.replica_spec import ShadowCopies
from tidegate.serving.front.copy_clients import MOST, CopyClients

GATEWAY = ShadowCopies(fleet="e/1/shadow", share_file="/s", kept="/k", port=8083)


def test_copy_goes_back_to_where_its_request_came_from() -> None:
    clients = CopyClients(GATEWAY, 10)
    first, second = clients.choose(lambda: "10.0.0.1"), clients.choose(lambda: "10.0.0.2")
    assert first is not None and second is not None and first is not second
    assert clients.choose(lambda: "10.0.0.1") is first
    assert clients.choose(lambda: "") is None


def test_gateways_that_sent_nothing_for_long_are_forgotten() -> None:
    clients = CopyClients(GATEWAY, 10)
    kept, gone = clients.choose(lambda: "kept"), clients.choose(lambda: "gone")
    for number in range(MOST - 1):
        clients.choose(partial(str, number))
        assert clients.choose(lambda: "kept") is kept
    assert clients.choose(lambda: "gone") is not gone


def test_proxy_of_the_machine_gets_all_copies() -> None:
    clients = CopyClients(ShadowCopies(fleet="e/1/shadow", share_file="/s", kept="/k", socket="/p"), 10)
    assert clients.choose(lambda: "10.0.0.1") is clients.choose(lambda: "") is not None
