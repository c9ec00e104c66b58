"""Event-stream messages, read back by botocore's own parser."""

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer, EventStreamMessage
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.front import event_stream


def parsed(data: bytes, step: int = 7919) -> list[EventStreamMessage]:
    buffer = EventStreamBuffer()
    found = []
    for start in range(0, len(data), step):
        buffer.add_data(data[start : start + step])
        found += list(buffer)
    return found


@given(st.lists(st.binary(max_size=5000), max_size=6), st.integers(1, 6000))
def test_parts_come_back_as_they_were_however_the_bytes_are_cut(parts: list[bytes], step: int) -> None:
    wire = b"".join(message for part in parts for message in event_stream.payload_parts(part))
    found = parsed(wire, step)
    assert [message.payload for message in found] == [part for part in parts if part]
    for message in found:
        assert message.headers == {
            ":event-type": "PayloadPart",
            ":content-type": "application/octet-stream",
            ":message-type": "event",
        }


def test_a_large_part_is_several_messages() -> None:
    data = bytes(range(256)) * 10_000
    found = parsed(b"".join(event_stream.payload_parts(data)))
    assert [len(message.payload) for message in found] == [2**20, 2**20, 2_560_000 - 2**21]
    assert b"".join(message.payload for message in found) == data


def test_a_failure_is_an_exception_for_the_client() -> None:
    [message] = parsed(event_stream.failure("StreamBroken", "no more – sorry"))
    shown = message.to_response_dict()
    assert shown["status_code"] == 400
    assert shown["headers"][":exception-type"] == "ModelStreamError"
    assert shown["body"] == '{"Message":"no more – sorry","ErrorCode":"StreamBroken"}'.encode()


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_changed_byte_is_noticed(payload: bytes, data: st.DataObject) -> None:
    [message] = event_stream.payload_parts(payload)
    place = data.draw(st.integers(8, len(message) - 1))
    spoiled = bytearray(message)
    spoiled[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ChecksumMismatch):
        parsed(bytes(spoiled))
