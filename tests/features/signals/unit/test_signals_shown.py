"""What a person sees of the signals of an endpoint's alarms, in the status and in the console."""

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tests.features.drift.unit.test_drift import endpoint
from tests.features.signals.unit.test_signal_loop import BEGAN, signal_alarm
from tests.memory_metrics import MemoryMetrics
from tidegate.cli.status_panel import render_status
from tidegate.console.endpoint_card import render_card
from tidegate.domain.metric import Sample
from tidegate.domain.rollout import DeploymentConfig
from tidegate.features.signals.card import SignalsCard
from tidegate.features.signals.check import EXTENSION
from tidegate.features.signals.kinds import SIGNAL_REPORT, SignalReport
from tidegate.monitoring.alarm_data import series_of
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ALARM, ENDPOINT
from tidegate.service.views import endpoint_view
from tidegate.store import open_store


async def test_status_and_console_show_the_last_reading_of_each_signal_and_why_there_is_none(
    tmp_path: Path,
) -> None:
    store, metrics, at = (
        open_store(f"sqlite:///{tmp_path / 'signals.db'}"),
        MemoryMetrics(),
        int(BEGAN.timestamp()),
    )
    alarms = (signal_alarm("read"), signal_alarm("unread", "carts"))
    shown = replace(endpoint(), deployment=DeploymentConfig(alarms=("read", "unread")))

    def fill(tx: Tx) -> None:
        tx.put(ENDPOINT, "fraud", shown, expect=0, now=BEGAN)
        for alarm in alarms:
            tx.put(ALARM, alarm.name, alarm, expect=0, now=BEGAN)
        tx.put(SIGNAL_REPORT, "fraud", SignalReport({"unread": "connection refused"}), expect=0, now=BEGAN)

    await store.run(fill)
    for second, value in ((at - 20, 0.5), (at - 3, 0.25)):
        await metrics.put([Sample(series_of(alarms[0]), second, 1.0, value, value, value)])
    found = await store.run(lambda tx: EXTENSION.find(tx, "fraud"))
    section = EXTENSION.describe(await EXTENSION.measure(metrics, found["fraud"], BEGAN), shown, None)
    every = await store.run(EXTENSION.find)
    await store.close()
    assert section == [
        {
            "alarm": "read",
            "source": "lost at http://prometheus",
            "value": 0.25,
            "at": "2026-02-28T23:59:57+00:00",
            "reason": None,
        },
        {
            "alarm": "unread",
            "source": "carts at http://prometheus",
            "value": None,
            "at": None,
            "reason": "connection refused",
        },
    ]
    [listed] = EXTENSION.describe(every["fraud"], shown, None)
    assert (listed["alarm"], listed["reason"]) == ("unread", "connection refused")
    console = Console(width=200, record=True, file=io.StringIO())
    document = {**endpoint_view(shown, None, {}), "signals": section}
    console.print(render_status(document, [], [], boxed=False))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert any(line[:2] == ["read", "0.25"] for line in lines)
    assert ["unread", "-", "-", "connection", "refused"] in lines
    page = render_card(SignalsCard(), {"signals": section})
    assert all(one in page for one in ("lost at http://prometheus", "0.25", "23:59:57", "connection refused"))
    printed = render_card(SignalsCard(), {"signals": section}, "printed")
    assert "0.25" in printed and "connection refused" in printed
