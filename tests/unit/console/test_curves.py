"""The page of an endpoint's metrics: curves by version, what is marked, and the export."""

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.gateway_harness import GatewayHarness
from tidegate.console.core_pages import further_routes
from tidegate.console.curves import CURVES, CurveWindow, VersionCurves, draw_plots
from tidegate.console.page_context import PageContext
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import FleetSecond, Latency
from tidegate.gateway.app import build_app
from tidegate.monitoring import sketch
from tidegate.service.metric_samples import samples

SPEC = {
    "endpoint": "fraud",
    "model": {"image": "tidegate/xgboost", "data": "file:///m/model.tar.gz"},
}
WINDOW = CurveWindow(0, 600, 60, 599)


def second(config: str, at: int, failed: int) -> FleetSecond:
    """Ten requests of 20 ms in one second."""
    latency = Latency({sketch.index(20_000.0): 10.0}, 200_000.0, 20_000.0, 20_000.0)
    fleet = FleetId("fraud", 1, "AllTraffic")
    return FleetSecond(
        fleet, config, at, 1, invocations=10, errors_5xx=failed, model_latency=latency, cpu=(40.0,), memory=(30.0,)
    )


def visit(span: str) -> tuple[str, list[dict[str, str]]]:
    """The page and the rows of its CSV file, ten minutes after 20 requests to two versions."""
    house = GatewayHarness()

    async def ask() -> tuple[str, str]:
        app = build_app(house.gateway, further_routes(PageContext(house.gateway, {})))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8471"
        ) as client:
            (await client.put("/tidegate/v1/deploy", json={"spec": SPEC, "by": "ada"})).raise_for_status()
            found = (await client.get("/tidegate/v1/endpoints/fraud/history")).json()["versions"]
            at = int((house.clock.now() - timedelta(minutes=10)).timestamp()) // 60 * 60
            seconds = [second(found[0]["config"], at, 0), second("<b>other", at, 5)]
            await house.metrics.put(samples(seconds))
            path = "/console/endpoints/fraud/metrics"
            page = await client.get(f"{path}?span={span}", headers={"accept": "text/html"})
            table = await client.get(f"{path}.csv?span={span}")
        await house.store.close()
        assert (page.status_code, table.status_code) == (200, 200)
        return page.text, table.text

    text, table = asyncio.run(ask())
    return text, list(csv.DictReader(io.StringIO(table)))


@pytest.mark.parametrize("span", ["1h", "7d", "nonsense"])
def test_each_version_has_a_curve_of_each_kind_and_a_row_of_the_export(span: str) -> None:
    page, rows = visit(span)
    for curve in CURVES:
        assert f"<b>{curve.title}</b>" in page
    assert "version 1 (" in page and "&lt;b&gt;other" in page and "<b>other" not in page
    by_version = {row["version"]: row for row in rows}
    assert len(by_version) == 2
    other = by_version["<b>other"]
    assert float(other["Errors (5xx) (%)"]) == 50.0 and float(other["CPU per instance (%)"]) == 40.0
    assert float(other["Model latency, p99 (ms)"]) == pytest.approx(20.0, rel=0.02)
    assert "creation with config" in page and 'class="mark rollout"' in page


def test_a_line_breaks_where_there_are_no_values() -> None:
    empty: tuple[dict[int, float], ...] = ({},) * (len(CURVES) - 1)
    (plot,) = draw_plots([VersionCurves("v", ({0: 1.0, 60: 2.0, 300: 1.0}, *empty))], [], WINDOW)
    assert [line.name for line in plot.lines] == ["v", ""]
    assert plot.lines[0].points == "0,50 100,50 100,0 200,0"
    assert plot.high == "2/s" and "last" in plot.told


def test_the_last_point_of_a_window_holds_the_present() -> None:
    window = CurveWindow.before(datetime(2030, 1, 1, 12, 7, 31, tzinfo=UTC), "6h")
    assert window.end == datetime(2030, 1, 1, 12, 10, tzinfo=UTC).timestamp()
    assert window.end - window.start == 6 * 3600
