"""Heads that are looked up mean what the parser would have said; all others are left to it."""

import httptools
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.front.header_cache import HeaderCache

PLAIN = b"POST /endpoints/fraud/invocations HTTP/1.1\r\nhost: here\r\ncontent-type: text/csv\r\ncontent-length: 3"
STAMP = b"\r\nx-tidegate-start: 17"


class Parsed:
    """What httptools makes of a request."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.messages = 0
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.keep_alive = parser.should_keep_alive()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.messages += 1


def test_a_head_is_found_with_its_stamp_and_again_with_another() -> None:
    heads = HeaderCache((b"/endpoints/fraud/invocations",))
    for stamp in (b"17", b"18"):
        data = PLAIN + b"\r\nx-tidegate-start: " + stamp + b"\r\n\r\n1,2"
        found = heads.find(data)
        assert found is not None
        head, found_stamp, begin = found
        assert (head.url, head.length, found_stamp, data[begin:]) == (
            b"/endpoints/fraud/invocations",
            3,
            stamp,
            b"1,2",
        )
        assert head.fields[b"content-type"] == b"text/csv"


def test_what_names_something_to_choose_is_not_plain() -> None:
    """It is looked at by ``addressed``, which plain requests pass by."""
    heads = HeaderCache((b"/endpoints/fraud/invocations",))
    for name in (b"target-model", b"target-container-hostname", b"inference-component", b"enable-explanations"):
        found = heads.find(PLAIN + b"\r\nx-amzn-sagemaker-" + name + b": x" + STAMP + b"\r\n\r\n1,2")
        assert found is not None and not found[0].plain
    found = heads.find(PLAIN + STAMP + b"\r\n\r\n1,2")
    assert found is not None and found[0].plain


def test_what_frames_a_message_otherwise_is_left_to_the_parser() -> None:
    heads = HeaderCache((b"/endpoints/fraud/invocations",))
    for odd in (
        PLAIN + b"\r\ntransfer-encoding: chunked" + STAMP,
        PLAIN + b"\r\nconnection: close" + STAMP,
        PLAIN + b"\r\nexpect: 100-continue" + STAMP,
        PLAIN + b"\r\ncontent-length: 4" + STAMP,
        PLAIN + b"\r\nX-Upper: 1" + STAMP,
        PLAIN + b"\r\n folded: 1" + STAMP,
        PLAIN + b"\r\nbad name: 1" + STAMP,
        PLAIN + b"\r\nnul: \0" + STAMP,
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0") + STAMP,
        PLAIN.replace(b": 3", b": +3") + STAMP,
        PLAIN.replace(b": 3", b": 3 3") + STAMP,
        PLAIN + b"\r\npadded:  1" + STAMP,
        PLAIN + STAMP + b"x",
        PLAIN + STAMP + b"\r\nlater: 1",
        PLAIN,
    ):
        assert heads.find(odd + b"\r\n\r\n1,2") is None, odd


def test_signed_heads_are_not_remembered() -> None:
    heads = HeaderCache((b"/endpoints/fraud/invocations",))
    for number in range(1000):
        signed = PLAIN + b"\r\nauthorization: AWS4-HMAC-SHA256 %d" % number + STAMP + b"\r\n\r\n1,2"
        assert heads.find(signed) is not None
    assert heads.known == 0


def test_few_heads_are_remembered() -> None:
    heads = HeaderCache((b"/endpoints/fraud/invocations",))
    for number in range(10_000):
        heads.find(PLAIN + b"\r\nx-number: %d" % number + STAMP + b"\r\n\r\n1,2")
    assert 0 < heads.known <= 256


def test_heads_that_differ_in_the_model_are_remembered_once() -> None:
    heads = HeaderCache((b"/endpoints/fraud/invocations",))
    for number in range(10_000):
        name = b"x-amzn-sagemaker-target-model"
        model = b"%02d/client-%d.ubj" % (number % 100, number)
        found = heads.find(
            PLAIN + b"\r\n%b: %b" % (name, model) + b"\r\naccept: text/csv" + STAMP + b"\r\n\r\n1,2"
        )
        assert found is not None and not found[0].plain
        assert found[0].fields[name] == model
        assert found[0].headers[-2:] == ((name, model), (b"accept", b"text/csv"))
    assert heads.known == 1
    other = heads.find(PLAIN + b"\r\naccept: text/csv" + STAMP + b"\r\n\r\n1,2")
    assert other is not None and other[0].plain and len(other[0].fields) == 4


def test_a_head_that_names_two_models_is_left_to_the_parser() -> None:
    heads = HeaderCache((b"/endpoints/fraud/invocations",))
    name = b"\r\nx-amzn-sagemaker-target-model: "
    for _ in range(2):  # the second time there may be something remembered
        assert heads.find(PLAIN + name + b"a" + name + b"b" + STAMP + b"\r\n\r\n1,2") is None
        assert heads.find(PLAIN + name + b"a\x00" + STAMP + b"\r\n\r\n1,2") is None
        assert heads.find(PLAIN + name + b"a" + STAMP + b"\r\n\r\n1,2") is not None


NAMES = st.sampled_from(
    [b"host", b"accept", b"Accept", b"connection", b"content-length", b"transfer-encoding", b"x-a", b"te", b""]
    + 4 * [b"x-amzn-sagemaker-target-model"]
)
VALUES = st.one_of(
    st.sampled_from([b"", b"1", b"3", b"close", b"chunked", b" x ", b"a\tb"]), st.binary(max_size=4)
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5), st.binary(max_size=8))
def test_a_found_head_is_what_the_parser_finds(headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    lines = b"".join(b"\r\n%b: %b" % header for header in headers)
    data = (
        b"POST /invocations HTTP/1.1" + lines + b"\r\ncontent-length: %d" % len(body) + STAMP + b"\r\n\r\n" + body
    )
    heads = HeaderCache((b"/endpoints/fraud/invocations",))
    found = heads.find(data)
    assert heads.find(data) == found
    if found is None or len(data) - found[2] != found[0].length:
        return
    head, stamp, begin = found
    parsed = Parsed(data)
    assert (parsed.url, parsed.body, parsed.messages) == (head.url, data[begin:], 1)
    assert parsed.headers == [*head.headers, (b"x-tidegate-start", stamp)]
    assert parsed.keep_alive


def test_a_head_that_names_its_trace_is_found_but_not_kept() -> None:
    """Each of them is another one: kept, they would drive out those that come again."""
    heads = HeaderCache((b"/endpoints/fraud/invocations",))
    assert heads.find(PLAIN + STAMP + b"\r\n\r\n1,2") is not None
    for number in range(300):
        traced = PLAIN + b"\r\ntraceparent: 00-%032x-00f067aa0ba902b7-01" % (number + 1)
        found = heads.find(traced + STAMP + b"\r\n\r\n1,2")
        assert found is not None and found[0].plain
    assert heads.known == 1
