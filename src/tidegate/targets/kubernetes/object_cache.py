"""Lists of objects, of which only those that have changed are read anew.

The controller lists the same objects each second, and hardly any of them has changed. An object as it came over the
wire is compared with what came the last time: that costs some hundredth of decoding it. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tidegate.targets.kubernetes.names import Manifest


class _Metadata(msgspec.Struct, rename={"next": "continue"}):
    next: str = ""


class Page(msgspec.Struct):
    """One page of a list. ``metadata.next``: the token of the next page."""

    items: list[msgspec.Raw] | None = None
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


_pages = msgspec.json.Decoder(Page)


def read_page(body: bytes) -> Page:
    """Raises msgspec.DecodeError."""
    return _pages.decode(body)


@dataclass
class ObjectCache:
    """What each list had the last time."""

    _known: dict[object, dict[bytes, Manifest]] = field(default_factory=dict)

    def read(self, of: object, pages: Iterable[Page], owners: bool = True) -> list[Manifest]:
        """The objects of a list; one that has not changed is the same object as before, which nobody may change.
        ``of``: which list. ``owners``: whether it is of interest who set which field; that is a third of an object.
        Raises msgspec.DecodeError."""
        known = self._known.get(of, {})
        fresh: dict[bytes, Manifest] = {}
        for page in pages:
            for raw in page.items or ():
                content = bytes(raw)
                found: Any = known.get(content)
                fresh[content] = _decode(content, owners) if found is None else found
        self._known[of] = fresh
        return list(fresh.values())


def _decode(content: bytes, owners: bool) -> Manifest:
    found: Manifest = msgspec.json.decode(content)
    if not owners and isinstance(about := found.get("metadata"), dict):
        about.pop("managedFields", None)
    return found
