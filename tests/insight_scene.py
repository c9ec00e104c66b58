"""An endpoint of which everything is known, on a gateway in memory: evidence, drift, labels, captures, with names
that people chose badly."""

import asyncio
import json
import random
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx

from tests.gateway_harness import GatewayHarness, late_pages
from tidegate.domain.drift import DriftFinding, DriftOutcome, DriftPoint, DriftRecord, DriftSchedule, DriftVerdict
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.evidence import Comparison, EvidenceBlock, EvidenceConfig, EvidenceRecord
from tidegate.domain.rollout import Phase
from tidegate.features.drift.compare import DriftTerms, compare
from tidegate.features.drift.kinds import DRIFT, DRIFT_SCHEDULE
from tidegate.features.drift.shares import column_shares
from tidegate.features.drift.slices import SlicedTable
from tidegate.features.evidence.comparisons import make_tests, test_key
from tidegate.features.evidence.judge import recompute
from tidegate.features.evidence.service import keep_evidence
from tidegate.features.labels.label_terms import LabelTerms
from tidegate.features.labels.report import QualityQuestion
from tidegate.features.labels.store import LabelStore
from tidegate.gateway.app import build_app
from tidegate.host.http_server import serve
from tidegate.ports.store import Tx
from tidegate.rows.capture_paths import file_name, layout
from tidegate.rows.label_lines import Label, Prediction
from tidegate.rows.profile import Row, TableProfile
from tidegate.service.record_kinds import ENDPOINT
from tidegate.settings import Settings

NAME = "fraud"
HOSTILE = "<img src=x onerror=alert(1)>\"'\u202e$x$"
SECRET, IBAN = "hunter2-is-my-password", "DE89 3704 0044 0532 0130 00"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CONFIG = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.LATENCY), minimum=50, deadline=300)


@dataclass
class InsightScene:
    """``folder``: of the state, and of what is captured."""

    folder: Path
    people: bool = False
    captures: bool = True
    house: GatewayHarness = field(init=False)

    def __post_init__(self) -> None:
        settings = Settings(state=self.folder, output_roots=(self.folder,))
        self.house = GatewayHarness(settings, people=self.people)
        self.app = build_app(self.house.gateway, late_pages(self.house.gateway))

    @property
    def destination(self) -> str:
        return (self.folder / "captures").as_uri()

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1:8471")

    async def deploy(self) -> None:
        model = {"image": "tidegate/xgboost", "data": "file:///m/model.tar.gz"}
        spec = {"endpoint": NAME, "model": model, "rollout": {"strategy": "canary", "size": "10%", "wait": "1h"}}
        spec |= {"evidence": {"compare": ["errors", "latency"]}}
        if self.captures:
            rules = {"fields": {HOSTILE: "drop"}, "detect": ["iban"]}
            spec |= {"capture": {"to": self.destination, "sample": "50%", "redact": rules}}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1:8471"
        ) as client:
            (await client.put("/tidegate/v1/deploy", json={"spec": spec, "by": "ada"})).raise_for_status()

    async def fill(self) -> None:
        """Evidence, drift, labels and captures."""
        await self.house.store.run(lambda tx: keep_evidence(tx, evidence_record(self._bake(tx)), 1900))
        await self.house.store.run(self._drift)
        await asyncio.to_thread(fill_labels, self.folder / "labels")
        self.write_captures(self.house.clock.now())

    def _bake(self, tx: Tx) -> str:
        """Let the rollout bake beside an old version. Returns its id."""
        saved = tx.get(ENDPOINT, NAME)
        assert saved is not None and saved.body.rollout is not None
        rollout = saved.body.rollout
        old = replace(rollout.new, config_name="v1")
        baking = replace(
            rollout,
            phase=Phase.BAKING,
            bake_until=NOW + timedelta(minutes=10),
            old=old,
            started_at=NOW,
            plan=replace(rollout.plan, evidence=CONFIG),
        )
        endpoint: Endpoint = replace(saved.body, rollout=baking, serving=old)
        tx.put(ENDPOINT, NAME, endpoint, expect=saved.version, now=NOW)
        return baking.id

    def _drift(self, tx: Tx) -> None:
        tx.put(DRIFT_SCHEDULE, NAME, schedule(), expect=None, now=NOW)
        tx.put(DRIFT, NAME, drift_record(), expect=None, now=NOW)

    def write_captures(self, at: datetime) -> Path:
        """A file of three requests; one has what nobody may see, one is broken, one is not text."""
        name = layout(file_name(at.timestamp(), str(UUID(int=7))))
        assert name is not None
        path = self.folder / "captures" / NAME / "AllTraffic" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        body = json.dumps({"note": HOSTILE, "password": SECRET, "account": IBAN, "amount": 12.5})
        lines = [captured(body, "JSON"), "half a li", captured("AAECAwQ=", "BASE64")]
        path.write_text("\n".join(lines))
        return path

    def drift_again(self, verdict: DriftVerdict) -> None:
        """What another look finds."""
        record = drift_record()
        found = DriftRecord(replace(record.last, verdict=verdict, findings=(), total=0), record.history)

        async def put() -> None:
            await self.house.store.run(lambda tx: tx.put(DRIFT, NAME, found, expect=None, now=NOW))

        self._in_thread(put())

    def _in_thread(self, work: Coroutine[None, None, None]) -> None:
        """The browser's driver has an event loop in the thread of the test."""
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, work).result()

    def prepare(self) -> None:
        async def work() -> None:
            await self.deploy()
            await self.fill()

        self._in_thread(work())

    @contextmanager
    def served(self, at: int = 0) -> Iterator[str]:
        """The address of a server of it, in a thread; ``at``: a port, 0 is any that is free."""
        gateway = replace(self.house.gateway, stopping=asyncio.Event())
        app = build_app(gateway, late_pages(gateway))
        started, ended, port = threading.Event(), threading.Event(), list[int]()

        async def run() -> None:
            server, task = await serve(app, at, "127.0.0.1")
            port.append(server.servers[0].sockets[0].getsockname()[1])
            started.set()
            while not ended.is_set():
                await asyncio.sleep(0.05)
            gateway.stopping.set()
            server.should_exit = True
            await task

        thread = threading.Thread(target=lambda: asyncio.run(run()))
        thread.start()
        assert started.wait(30)
        try:
            yield f"http://127.0.0.1:{port[0]}"
        finally:
            ended.set()
            thread.join(30)


def evidence_record(rollout: str, blocks: int = 400, worse: float = 0.03) -> EvidenceRecord:
    """Blocks of a second, in two stages; latency is the same."""
    draw, made = random.Random(1), dict[str, EvidenceBlock]()
    start = int(NOW.timestamp())
    for number in range(blocks):
        counts = {}
        for comparison in CONFIG.compare:
            for test in make_tests(comparison, CONFIG):
                rates = (0.01, worse) if comparison is Comparison.ERRORS else (0.3, 0.3)
                old, new = (
                    sum(draw.random() < rate for _ in range(size))
                    for rate, size in zip(rates, (90, 10), strict=True)
                )
                counts[test_key("AllTraffic", comparison, test)] = (90, old, 10, new)
        made[str(start + number)] = EvidenceBlock(start + number, 1, int(number >= blocks // 2), counts)
    verdict = recompute(CONFIG, ("AllTraffic",), made.values(), 1)
    return EvidenceRecord(NAME, rollout, "v1", HOSTILE, CONFIG, ("AllTraffic",), verdict, start + blocks, made)


def schedule() -> DriftSchedule:
    return DriftSchedule(NAME, "s3://baselines/fraud.json", NOW, by=("country",))


def drift_record() -> DriftRecord:
    """A look in which the amount has drifted, and the whole table of what was compared."""
    draw = random.Random(2)

    def table(mean: float, countries: tuple[str, ...], like: SlicedTable | None = None) -> SlicedTable:
        known, apart = (like.names, like.tables) if like is not None else ((), ())
        made = SlicedTable(["country"], lambda: TableProfile(draw.randrange), known, apart)
        for _ in range(600):
            row: Row = {"amount": draw.gauss(mean, 10), "country": draw.choice(countries)}
            made.add({**row, "hour": float(draw.randrange(24))})
        return made

    before = table(100, ("US", "DE", HOSTILE))
    now = table(120, ("US", "BR", HOSTILE), before)
    found = compare(before.tables, now.tables, DriftTerms(), known_slices=before.names)
    findings = tuple(
        DriftFinding(one.feature_name, one.constraint_check_type, one.description) for one in found.violations
    )
    outcome = DriftOutcome(
        NOW - timedelta(minutes=5),
        NOW,
        DriftVerdict.DRIFT,
        rows=found.rows,
        baseline_rows=found.baseline_rows,
        findings=findings,
        total=len(findings),
        unsaid=(f"{HOSTILE}: constant",),
        skipped={"broken line": 3},
        changes=found.changes,
        shares=column_shares(found.changes[:8], before.tables, now.tables),
    )
    said = (DriftPoint(NOW - timedelta(days=1), DriftVerdict.NO_DRIFT, 0, "no drift in 600 rows"),)
    return DriftRecord(outcome, (*said, DriftPoint(NOW, DriftVerdict.DRIFT, 9, f"drift: {HOSTILE}")))


def fill_labels(folder: Path) -> None:
    """Two versions, of which the newer one ranks worse."""
    draw, store = random.Random(3), LabelStore(folder, NAME)
    first = NOW.timestamp() - 30 * 86_400
    predictions, labels = [], []
    for number in range(2_000):
        at, score, config = first + 1_200 * number, draw.random(), "v1" if number < 1_200 else HOSTILE
        predictions.append(Prediction(f"p{number}", at, score, config, "AllTraffic"))
        if draw.random() < 0.4:
            chance = score if config == "v1" else 0.5 + (score - 0.5) * 0.3
            came = at + draw.expovariate(1 / 86_400)
            labels.append(Label(f"p{number}", float(draw.random() < chance), came, received=came))
    store.accept(labels, LabelTerms())
    store.add_file("captured", predictions)
    store.describe(QualityQuestion(), NOW.timestamp() + 60 * 86_400, ())


def captured(data: str, encoding: str) -> str:
    answer = {"observedContentType": "text/csv", "mode": "OUTPUT", "data": "0.031\n", "encoding": "CSV"}
    asked = {"observedContentType": "application/json", "mode": "INPUT", "data": data, "encoding": encoding}
    about = {
        **{"eventId": "e1", "inferenceId": f"payment {HOSTILE}", "inferenceTime": "2026-03-01T12:00:00Z"},
        **{"configName": "v1", "customAttributes": [f"trace=7;token={SECRET}"]},
    }
    return json.dumps({"captureData": {"endpointInput": asked, "endpointOutput": answer}, "eventMetadata": about})
