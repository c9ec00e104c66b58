"""Lists of which only what has changed is read anew."""

import msgspec
import pytest

from tests.unit.targets.kubernetes.memory_api_server import MemoryApiServer
from tests.unit.targets.kubernetes.target_harness import memory_api, run
from tidegate.targets.kubernetes.api import ObjectCache, read_page


def page(*objects: object, after: str = "") -> bytes:
    return msgspec.json.encode({"kind": "List", "metadata": {"continue": after}, "items": objects})


def test_unchanged_object_is_the_same_one_as_before() -> None:
    cache = ObjectCache()
    first = cache.read("pods", [read_page(page({"a": 1}, {"b": 1}))])
    second = cache.read("pods", [read_page(page({"a": 1}, {"b": 2}))])
    assert first == [{"a": 1}, {"b": 1}]
    assert second == [{"a": 1}, {"b": 2}]
    assert second[0] is first[0]


def test_object_that_was_away_for_one_list_is_read_anew() -> None:
    cache = ObjectCache()
    first = cache.read("pods", [read_page(page({"a": 1}))])
    assert cache.read("pods", [read_page(page())]) == []
    again = cache.read("pods", [read_page(page({"a": 1}))])
    assert again == first and again[0] is not first[0]


def test_who_owns_the_fields_of_a_pod_is_not_kept() -> None:
    given = {"metadata": {"name": "a", "managedFields": [{"manager": "kubelet"}]}}
    pages = [read_page(page(given, {"metadata": None}, {}))]
    assert ObjectCache().read("pods", pages, owners=False) == [{"metadata": {"name": "a"}}, {"metadata": None}, {}]
    assert ObjectCache().read("deployments", pages)[0] == given


def test_lists_of_different_kinds_do_not_share_objects() -> None:
    cache = ObjectCache()
    one = cache.read("pods", [read_page(page({"a": 1}))])
    assert cache.read("deployments", [read_page(page({"a": 1}))])[0] is not one[0]


@pytest.mark.parametrize("body", [b'{"metadata": {}, "items": null}', b'{"metadata": {}}', b"{}"])
def test_list_without_items_is_empty(body: bytes) -> None:
    assert ObjectCache().read("pods", [read_page(body)]) == []


def test_all_pages_are_read() -> None:
    pages = [read_page(page({"a": 1}, after="token")), read_page(page({"b": 1}))]
    assert [one.metadata.next for one in pages] == ["token", ""]
    assert ObjectCache().read("pods", pages) == [{"a": 1}, {"b": 1}]


def test_answer_that_is_no_list_is_an_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        read_page(b"<html>")


def test_second_list_of_the_api_gives_the_same_objects() -> None:
    async def scenario() -> None:
        server = MemoryApiServer()
        for name in ("a", "b"):
            server.objects["pods", name] = {"metadata": {"name": name, "labels": {"x": "y"}}}
        api = memory_api(server)
        first = await api.find("Pod", "x=y")
        server.objects["pods", "b"] = {"metadata": {"name": "b", "labels": {"x": "y"}, "deletionTimestamp": "now"}}
        second = await api.find("Pod", "x=y")
        assert second[0] is first[0]
        assert "deletionTimestamp" in second[1]["metadata"]

    run(scenario())
