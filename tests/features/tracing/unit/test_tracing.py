"""What a start with a collector in its settings checks first."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tidegate.domain.errors import StartupError
from tidegate.features.tracing.acceptance_traces import MOST_A_SECOND, AcceptanceTraces
from tidegate.features.tracing.start import make_sender, read_headers
from tidegate.settings import Settings


def test_without_a_collector_nothing_of_opentelemetry_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tidegate.features.tracing.otlp", None)
    assert make_sender(Settings(), "here") is None


def test_an_extra_that_is_missing_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tidegate.features.tracing.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with pytest.raises(StartupError) as told:
        make_sender(Settings(trace_endpoint="http://127.0.0.1:4318"), "here")
    assert told.value.message == (
        "TIDEGATE_TRACE_ENDPOINT is set, but opentelemetry.exporter.otlp.proto.http is not installed:"
        " install 'tidegate[otel]' or unset it"
    )


@pytest.mark.parametrize(
    "text", ["token", "a b: c", ": secret", "name:", "a: b\nsecret-token", "a: x\ny" * 20_000, "é: 1"]
)
def test_headers_that_cannot_be_sent_are_refused_without_showing_them(tmp_path: Path, text: str) -> None:
    file = tmp_path / "headers"
    file.write_text(text)
    with pytest.raises(StartupError, match="TIDEGATE_TRACE_HEADERS: ") as told:
        read_headers(file)
    assert "secret" not in told.value.message and "\n" not in told.value.message


def test_headers_are_read_by_name(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer a:b\n\nx-scope_id:  7 \n")
    assert read_headers(file) == {"authorization": "Bearer a:b", "x-scope_id": "7"}
    assert read_headers(None) == {}
    with pytest.raises(StartupError, match=r"cannot read .*: No such file"):
        read_headers(tmp_path / "none")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("TIDEGATE_TRACE_RATIO", value) for value in ("nan", "-0.1", "1.1", "often")),
        *(("TIDEGATE_TRACE_ENDPOINT", value) for value in ("collector:4318", "grpc://c", "http://me:pw@c")),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(variable: str, value: str) -> None:
    with pytest.raises(StartupError, match=variable):
        Settings.from_environment({variable: value})


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASKED = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}


def test_what_clients_ask_for_beyond_the_limit_of_a_second_is_not_traced_and_counted() -> None:
    lost: list[int] = []
    at = [NOON]
    traces = AcceptanceTraces(0.0, "key", lambda: 7, lambda: at[0], lambda spans: None, lost.append)
    begun = [traces.begin(ASKED) for _ in range(MOST_A_SECOND + 3)]
    assert all(begun[:MOST_A_SECOND]) and begun[MOST_A_SECOND:] == [None] * 3 and lost == [1] * 3
    assert traces.begin({}) is None and lost == [1] * 3
    for other in (NOON + timedelta(seconds=1), NOON - timedelta(hours=1)):  # a clock that was set back, too
        at[0] = other
        assert traces.begin(ASKED) is not None
