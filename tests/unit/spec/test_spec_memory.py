"""Amounts of memory: as people write them, in a spec and in a setting."""

from datetime import UTC, datetime

import pytest

from tidegate import spec
from tidegate.domain.errors import Invalid, StartupError
from tidegate.domain.memory_sizes import format_bytes, parse_bytes
from tidegate.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1024", 1024), ("512MiB", 512 * 2**20), ("1.5 GiB", 3 * 2**29), ("2GB", 2 * 10**9), ("7 B", 7)],
)
def test_an_amount(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "12 parsecs", "-1MiB", "1e3", "512mib", "1..5GiB"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="such as 512MiB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (2**29, "512 MiB"), (3 * 2**29, "1.5 GiB"), (1536, "1.5 KiB")]
)
def test_an_amount_is_told(size: int, text: str) -> None:
    assert format_bytes(size) == text


def test_a_variant_s_own_limit() -> None:
    model = {"image": "tidegate/xgboost"}
    given = {"endpoint": "e", "model": model, "memory": "512MiB"}
    assert spec.parse(given, NOW).config.variants[0].memory_limit == 512 * 2**20
    assert spec.parse({"endpoint": "e", "model": model, "memory": 0}, NOW).config.variants[0].memory_limit == 0
    assert spec.parse({"endpoint": "e", "model": model}, NOW).config.variants[0].memory_limit is None
    with pytest.raises(Invalid, match="memory: '512 monkeys': expected an amount"):
        spec.parse({**given, "memory": "512 monkeys"}, NOW)


def test_the_setting() -> None:
    assert Settings.from_environment({"TIDEGATE_MEMORY_LIMIT": "2GiB"}).memory_limit == 2**31
    with pytest.raises(StartupError, match="TIDEGATE_MEMORY_LIMIT='much'"):
        Settings.from_environment({"TIDEGATE_MEMORY_LIMIT": "much"})
