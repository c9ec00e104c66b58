"""Types that msgspec decodes to, prepared by one thread at a time."""

import threading
from typing import TypeVar

import msgspec

T = TypeVar("T")
_prepared = set[object]()
_LOCK = threading.Lock()


def prepare_type(kind: T) -> T:
    """Return ``kind``, which msgspec can decode to from now on in any thread.

    On the first use of a type, msgspec (0.22 and before) collects what it has to know of it and of the types of its
    fields, and publishes that before it is complete. A second thread that decodes to one of them meanwhile ends the
    process with a segmentation fault. So every type that is given to msgspec passes through here.
    """
    if kind not in _prepared:
        with _LOCK:
            msgspec.json.Decoder(kind)
            _prepared.add(kind)
    return kind
