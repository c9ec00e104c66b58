"""Which sessions a replica says that it has."""

import zlib
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tidegate.domain.fleet import FleetId
from tidegate.domain.sessions import (
    CLOSED_SESSION_HEADER,
    HOLDER_HEADER,
    NEW_SESSION,
    NEW_SESSION_HEADER,
    SESSION_HEADER,
)
from tidegate.serving.contract.replica_spec import OnDemand, ReplicaSpec, Serving
from tidegate.serving.contract.target_headers import CONTAINER
from tidegate.serving.front import sessions
from tidegate.serving.front.header_cache import HeaderCache
from tidegate.serving.front.sessions import Sessions

SPEC = ReplicaSpec(
    replica="r-1", fleet=FleetId("fraud", 1, "blue"), config_name="c", containers=(), socket="/tmp/s"
)
EXPIRES = "2026-01-01T00:00:00Z"
END = 1_767_225_600.0
NOTHING: Mapping[str, str] = {}


def asked(session: str, more: Mapping[str, str] = NOTHING) -> dict[bytes, bytes]:
    named = {SESSION_HEADER: session, **more}
    return {name.lower().encode(): value.encode("latin-1") for name, value in named.items()}


def opened(known: Sessions, text: str, now: float = 0.0, more: Mapping[str, str] = NOTHING) -> None:
    known.note(asked(NEW_SESSION, more), [(NEW_SESSION_HEADER.encode(), text.encode("latin-1"))], now)


def has(known: Sessions, session: str, now: float = 0.0, more: Mapping[str, str] = NOTHING) -> bool:
    refusal = known.refused(asked(session, more), now)
    assert refusal is None or (refusal.status, refusal.name) == (400, "ValidationError")
    return refusal is None


def test_a_session_is_there_until_it_expires() -> None:
    known = Sessions(SPEC)
    opened(known, f"s; Expires={EXPIRES}")
    assert has(known, "s", END - 1)
    assert not has(known, "s", END)
    assert not has(known, "s", END - 1), "it does not come back when the clock is set back"


def test_a_session_may_be_prolonged() -> None:
    known = Sessions(SPEC)
    opened(known, f"s; Expires={EXPIRES}")
    known.note(asked("s"), [(NEW_SESSION_HEADER.encode(), b"s; Expires=2027-01-01T00:00:00Z")], 0)
    assert has(known, "s", END)


@pytest.mark.parametrize("text", ["s", "s; Expires=soon", "s;", "s; Until=2026"])
def test_a_session_without_an_expiry_never_expires(text: str) -> None:
    known = Sessions(SPEC)
    opened(known, text)
    assert has(known, "s", END * 100)


def test_closing_a_session_leaves_others_open() -> None:
    known = Sessions(SPEC)
    opened(known, "s")
    opened(known, "t")
    known.note(asked("s"), [(CLOSED_SESSION_HEADER.encode(), b"s")], 0)
    assert not has(known, "s") and has(known, "t")


def test_an_answer_to_a_request_without_a_session_opens_none() -> None:
    known = Sessions(SPEC)
    known.note({}, [(NEW_SESSION_HEADER.encode(), b"s")], 0)
    assert not has(known, "s")


@pytest.mark.parametrize("id", ["", "-s", "s-", "a_b", "a b", "s\n", "\u00e9", "a" * 257])
def test_an_invalid_session_id_opens_no_session(id: str) -> None:
    known = Sessions(SPEC)
    opened(known, id)
    refusal = known.refused(asked(id), 0)
    assert refusal is not None and "failed to satisfy constraint" in refusal.message


def test_a_request_for_another_instance_is_refused_although_an_id_is_here() -> None:
    known = Sessions(SPEC)
    opened(known, "s")
    own, other = (str(zlib.crc32(name)) for name in (b"r-1", b"r-2"))
    assert has(known, "s", more={HOLDER_HEADER: own}) and not has(known, "s", more={HOLDER_HEADER: other})


def test_a_session_of_one_container_is_not_another_ones() -> None:
    """Of several side by side, each of which has a memory of its own."""
    known = Sessions(replace(SPEC, serving=Serving.DIRECT))
    container = CONTAINER.decode()
    opened(known, "s", more={container: "a"})
    assert has(known, "s", more={container: "a"}) and not has(known, "s", more={container: "b"})


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (replace(SPEC, serving=Serving.MULTI_MODEL), "a multi-model endpoint"),
        (replace(SPEC, on_demand=OnDemand(news="/tmp/n")), "a serverless endpoint"),
    ],
)
def test_a_session_request_without_session_support_is_refused(spec: ReplicaSpec, kind: str) -> None:
    for session in (NEW_SESSION, "s"):
        refusal = Sessions(spec).refused(asked(session), 0)
        assert refusal is not None and f"fraud is {kind} and does not support session id" in refusal.message


def test_the_number_of_sessions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST", 3)
    known = Sessions(SPEC)
    for text in ("a", f"b; Expires={EXPIRES}", "c", "d"):
        opened(known, text)
    assert [has(known, session) for session in "abcd"] == [False, True, True, True]
    opened(known, "e", END)
    assert [has(known, session) for session in "cde"] == [True] * 3, "what is over goes first"


def test_a_request_in_a_session_is_not_taken_for_a_plain_one() -> None:
    """Plain ones are not looked at any closer."""
    heads = HeaderCache((b"/invocations",))
    for header, plain in ((b"accept: a", True), (SESSION_HEADER.lower().encode() + b": s", False)):
        data = b"POST /invocations HTTP/1.1\r\n%b\r\ncontent-length: 0\r\nx-tidegate-start: 1\r\n\r\n" % header
        found = heads.find(data)
        assert found is not None and found[0].plain is plain
