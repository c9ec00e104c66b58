"""Heads of the requests to instances. Those of one endpoint mostly differ in size and id alone."""

from functools import lru_cache

from tidegate.domain.asynchronous import Item

INFERENCE_ID = "x-amzn-sagemaker-inference-id"
KEPT = 256
"""Beginnings of heads that are kept."""


def request_head(item: Item, size: int) -> bytes:
    """The head of a request with a body of ``size`` bytes."""
    given = item.headers
    beginning = _beginning(item.endpoint, tuple(given.items()))
    # What is captured of a request is found by its id.
    id = b"" if INFERENCE_ID in given else _line(INFERENCE_ID, item.inference_id)
    return b"%b%bcontent-length: %d\r\n\r\n" % (beginning, id, size)


@lru_cache(KEPT)
def _beginning(endpoint: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = [f"POST /endpoints/{endpoint}/invocations HTTP/1.1\r\nhost: queue\r\n".encode("latin-1")]
    return b"".join((*lines, *(_line(*header) for header in headers)))


def _line(name: str, value: str) -> bytes:
    # Values came in as headers, so a line end within one has no meaning.
    text = f"{name}: {value}"
    if "\r" in text or "\n" in text:
        text = text.replace("\r", " ").replace("\n", " ")
    return text.encode("latin-1", "replace") + b"\r\n"
