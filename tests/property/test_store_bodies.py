"""Every kind of record comes back equal, whatever its members hold: values are made from the types themselves."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum, StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.ports.store import Kind
from tidegate.service import record_kinds
from tidegate.store import record_codec

FINITE = st.floats(allow_nan=False, allow_infinity=False)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
WHOLE = st.integers(-(2**63), 2**64 - 1)
PLAIN = st.recursive(
    st.none() | st.booleans() | WHOLE | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=3,
)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    NoneType: st.none(),
    bool: st.booleans(),
    int: WHOLE,
    float: FINITE,
    str: TEXT,
    object: PLAIN,
    datetime: st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type that a record may be made of; any other type fails the test that meets it."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint in SIMPLE:
        return SIMPLE[hint]
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        return st.builds(hint, **{name: values(part) for name, part in hints.items()})
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    if origin in (Union, UnionType):
        return st.one_of(*(values(part) for part in parts))
    if origin is tuple and parts[-1] is ...:
        return st.lists(values(parts[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(part) for part in parts))
    if origin in (dict, Mapping):
        return st.dictionaries(values(parts[0]), values(parts[1]), max_size=2)
    raise TypeError(f"no values are known for {hint}")


class Colour(StrEnum):
    RED = "Red"
    BLUE = "Blue"


@dataclass(frozen=True)
class Inner:
    colour: Colour
    at: datetime | None


@dataclass(frozen=True)
class Everything:
    """Forms that records of today may not have, but that a record may have."""

    counts: dict[int, float]
    groups: dict[str, tuple[Inner, ...]]
    by_colour: dict[Colour, int]
    maybe: Inner | None = None
    wire: dict[str, object] = field(default_factory=dict)


KINDS: tuple[Kind[Any], ...] = (*record_kinds.all_kinds(), Kind("everything", Everything))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@settings(suppress_health_check=[HealthCheck.large_base_example])
@given(data=st.data())
def test_a_body_comes_back_equal(kind: Kind[Any], data: st.DataObject) -> None:
    body = data.draw(values(kind.type))
    plain = record_codec.encode(kind, "a", body)
    text = json.dumps(plain)
    assert json.loads(text) == plain
    assert record_codec.decode(kind, "a", text) == body
