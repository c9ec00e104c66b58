"""What a client is told whose JSON is no JSON."""

import msgspec
import pytest

from tidegate.serving.formats.json_encoding import unreadable


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "The body is empty; send JSON."),
        (b" \n", "The body is empty; send JSON."),
        (b'{"instances":[[', "The JSON is cut off: it ends after 15 byte(s), in the middle of a value."),
        (b"[1, NaN]", "NaN (byte 4) is no JSON; send null for a value that is missing."),
        (b"[-Infinity]", "-Infinity (byte 1) is no JSON; send null for a value that is missing."),
        (b"[[1, 1e999]]", "The JSON holds a number that is too large: beyond 1.8e308."),
        (b"[1, x]", "The JSON cannot be used: JSON is malformed: invalid character (byte 4)."),
    ],
)
def test_an_error_message_says_what_is_wrong_and_where(body: bytes, told: str) -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(body)
    failed = unreadable(caught.value, body)
    assert (failed.status, failed.message) == (400, told)
