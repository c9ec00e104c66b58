"""Collect the metrics of fleets second by second, from every worker, completed by what only the proxy counted.

A worker shows a second once it is over and keeps it for three minutes, so a question that goes unanswered, or a
controller that was away, loses nothing: the next one asks from where the last answer ended. Nobody is waited for: an
answer that is late counts in the next round, so that a worker that hangs holds up no other one's numbers.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.domain.errors import TidegateError
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.metric import SAGEMAKER, CollectionRound, Coverage, FleetSecond, MetricId
from tidegate.domain.worker_stats import KEPT_SECONDS, MOST_FAILURES, stats_path
from tidegate.ports.metrics import MetricHistory
from tidegate.ports.router import IDLE, PassedRequests, ServerAddress
from tidegate.targets.collection.coverage import CoverageTracker
from tidegate.targets.collection.fleet_seconds import billed, counted, device_readings, merged, utilized, waiting
from tidegate.targets.collection.outage import Outage
from tidegate.targets.collection.quiet import ASKED_EVERY, QuietReplicas, measured_idle
from tidegate.targets.collection.sources import (
    MOST_BODY,
    TOO_LARGE,
    Followed,
    Get,
    MeasureUsage,
    ReadActivity,
    ReadDevices,
    ServingReplica,
    WorkerFleets,
    follow_all,
)
from tidegate.targets.collection.stats_page import FailureMessage, ReplicaStats, read_page

# --- queries that the collector sends to a worker, and the replies ---


@dataclass(frozen=True)
class StatsQuery:
    """A query of a replica's counts in the second ``now``. ``met``: when the replica was first found to take
    requests; None: an earlier controller left it."""

    spec: FleetSpec
    replica: str
    socket: ServerAddress
    now: int
    met: int | None
    mark: int | None = None
    """Its activity, read before it is asked."""


@dataclass(frozen=True)
class StatsReply:
    """Consecutive pages from ``since`` on. ``too_large``: one more page was not read because of its size."""

    since: int
    pages: tuple[ReplicaStats, ...]
    too_large: bool = False


log = logging.getLogger(__name__)

BACKLOG = KEPT_SECONDS - 10
"""Seconds that a controller which was away asks for: a little less than a worker keeps."""
SLICE, SLICES = 60, 4
"""Seconds that are asked for at a time, and how many times a replica is asked in one round at most."""
EARLY = 2
"""Seconds before a replica is known to take requests from which it is asked on."""
GOOD = 200
PATIENCE = 0.5
"""Seconds that one round waits for answers."""
TIMEOUT = 10.0
"""Seconds that a replica may take to answer; rounds go on meanwhile."""
MOST_DOUBTS = 100
"""Different doubts about the pages of one replica that are counted."""
INLINE = 2**18
"""Bytes of a page that is read at once; a larger one is read in a thread, so that nobody waits for it."""
OVERSIZED = "a page that is too large to be read"


@dataclass
class Collector:
    """``passed`` gives, per fleet, how many requests since the last call the proxy answered itself (worker died,
    timed out, none ready, client over its quota), and what is in flight now."""

    target: WorkerFleets
    metrics: MetricHistory
    passed: Callable[[], Awaitable[Mapping[FleetId, PassedRequests]]]
    get: Get
    usage: MeasureUsage
    coverage: CoverageTracker = field(default_factory=CoverageTracker)
    patience: float = PATIENCE
    activity: ReadActivity = lambda replica: None
    devices: ReadDevices = lambda names: {}
    followed: Followed = follow_all
    _quiet: QuietReplicas = field(default_factory=QuietReplicas)
    _since: dict[str, int] = field(default_factory=dict)
    """Replica -> first second not yet taken."""
    _left: list[tuple[FleetSpec, str, bytes]] = field(default_factory=list)
    """What replicas left behind that have ended, not yet taken."""
    _questions: dict[str, tuple[StatsQuery, asyncio.Task[StatsReply | None]]] = field(default_factory=dict)
    """Replica -> what it was asked and has not answered."""
    _reading: tuple[int, asyncio.Task[Mapping[FleetId, PassedRequests] | None]] | None = None
    """When the proxy was asked last, and its answer to come."""
    _answered: Counter[FleetId] = field(default_factory=Counter)
    _failed: Counter[FleetId] = field(default_factory=Counter)
    _failures: dict[FleetId, dict[str, FailureMessage]] = field(default_factory=dict)
    """The last messages of failed requests of each fleet, by their text."""
    _failures_by: dict[str, dict[str, int]] = field(default_factory=dict)
    """Replica -> how many requests had failed with each message when it was asked last."""
    _answered_by: dict[str, int] = field(default_factory=dict)
    """Replica -> how many requests it had answered when it was asked last."""
    _measured_at: dict[str, int] = field(default_factory=dict)
    """Replica -> the second in which its processor time and memory were measured last."""
    _doubts: dict[str, set[str]] = field(default_factory=dict)
    """Replica -> what was wrong with its pages, for as long as it is there."""
    _outage: Outage = field(default_factory=Outage)
    _inherited: frozenset[str] = frozenset()
    """Replicas that an earlier controller may have asked."""
    _last: int | None = None
    """The second of the round before."""
    _blind: bool = False
    """The proxy's counts could not be read the last time; logged once."""

    def harvest(self, spec: FleetSpec, replica: str, page: bytes) -> None:
        """Take the last counts of a replica that has ended; the next ``collect`` returns them."""
        self._left.append((spec, replica, page))

    async def collect(self, now: int) -> CollectionRound:
        """Collect everything new that is over by ``now`` (epoch seconds): one record per fleet and second, and how
        far the counts of each endpoint reach. What cannot be had now is asked for again the next time."""
        replicas = list(self.target.serving())
        if self._last is None:
            self._resume(now, {id for _, id, *_ in replicas})
        met, self._last = min(now, self._last or now), now
        left, self._left = self._left, []
        parts = [part for one in left for part in await self._harvest_counts(*one, now)]
        asked = self._ask_all(replicas, now, met)
        passed = await self._answers()
        idle = [one.fleet for one in replicas if one.id not in asked]
        parts += self._take_replies(now, [(spec, 0) for spec in measured_idle(idle, self.followed())])
        parts += self._measured([one for one in replicas if one.id in asked], now - 1)
        parts += device_readings(replicas, self.devices, lambda spec: self._blank(spec, now - 1))
        parts += [self._provisioned(spec, now - 1) for spec in self.target.provisioned()]
        parts += self._count_by_proxy(passed or {}, now - 1)
        for part in parts:
            self._failed[part.fleet] += part.errors_5xx
        coverage = self._report(replicas, left, passed, now)
        fleets = {*self._answered, *self._failed, *(one.fleet.id for one in replicas)}
        self.target.set_answers({fleet: (self._answered[fleet], self._failed[fleet]) for fleet in fleets})
        return CollectionRound(list(merged(parts)), coverage, failures=self._failure_texts())

    def _resume(self, now: int, present: set[str]) -> None:
        """Continue from an earlier controller. If all of its replicas are gone, the machine failed and no version is
        to blame."""
        self._inherited = frozenset(present | {id for _, id, _ in self._left})
        followed = self.coverage.restore(now)
        if followed and not followed & present:
            self._outage.begin()

    def _ask_all(self, replicas: Iterable[ServingReplica], now: int, met: int) -> set[str]:
        """Ask every replica, except those whose last answer is still awaited, and those known to have counted nothing
        since. Returns the ids of all but the latter."""
        present, asked = set[str](), set[str]()
        for one in replicas:
            spec, id, socket = one.fleet, one.id, one.socket
            present.add(id)
            since = None if id in self._inherited else met
            self.coverage.begin(spec.id.endpoint, id, now - BACKLOG if since is None else since)
            mark = self.activity(one)
            question = StatsQuery(spec, id, socket, now, since, mark)
            if id in self._questions:
                asked.add(id)
            elif id in self._since and self._quiet.is_quiet(one, mark, now):
                self._rest(question)
            else:
                asked.add(id)
                self._questions[id] = question, asyncio.create_task(self._ask(question))
        for id in self._questions.keys() - present:
            self._questions.pop(id)[1].cancel()
        if self._reading is None:
            self._reading = now, asyncio.create_task(self._passed())
        return asked

    async def _answers(self) -> Mapping[FleetId, PassedRequests] | None:
        """Wait for answers for at most ``patience`` seconds. Returns the proxy's; None if there is none yet."""
        assert self._reading is not None
        asked, reading = self._reading
        await asyncio.wait([reading, *(task for _, task in self._questions.values())], timeout=self.patience)
        if not reading.done():
            self._quiet.set_load(None)
            return None
        self._reading = None
        passed = reading.result()
        if passed is not None:
            self.coverage.proxy = asked
        self.target.set_load(passed or {})
        self._quiet.set_load(passed)
        return passed

    def _take_replies(self, now: int, in_flight: list[tuple[FleetSpec, int]]) -> list[FleetSecond]:
        """Read the answers that have come. ``in_flight``: of the replicas that were not asked."""
        parts = list[FleetSecond]()
        for id, (question, task) in list(self._questions.items()):
            if not task.done():
                continue
            del self._questions[id]
            spec, error = question.spec, task.exception()
            if error is not None:
                parts += self._count_dropped(spec, id, [f"{type(error).__name__}: {error}"], now)
            elif (reply := task.result()) is not None:
                self._advance(question, reply)
                self._quiet.note(id, question.mark, question.now, reply.pages[-1] if reply.pages else None)
                parts += [part for page in reply.pages for part in self._records(spec, id, page, now)]
                if reply.too_large:
                    parts += self._count_dropped(spec, id, [OVERSIZED], now)
                if reply.pages and (count := reply.pages[-1].in_flight) is not None:
                    in_flight.append((spec, count))
        return parts + self._count_in_flight(in_flight, now - 1)

    def _rest(self, question: StatsQuery) -> None:
        """A replica that was not asked has counted nothing. The next question begins where the last answer ended, so
        that a count which its worker could not announce comes late, and is not lost."""
        endpoint, now = question.spec.id.endpoint, question.now
        self.coverage.follow(endpoint, now if question.met is None else question.met)
        self.coverage.advance(endpoint, question.replica, now)

    def _advance(self, question: StatsQuery, reply: StatsReply) -> None:
        """Move on past what was answered. A page that is too large is not asked for again, and neither is what a
        worker no longer keeps: those counts are lost."""
        endpoint, replica, now = question.spec.id.endpoint, question.replica, question.now
        known = self._since.get(replica)
        if known is None and question.met is None:
            self.coverage.resume(endpoint, reply.since, now - BACKLOG)
        elif known is None or reply.since <= known:
            self.coverage.follow(endpoint, now if question.met is None else question.met)
        else:
            self.coverage.mark_lost(endpoint, reply.since)
        through = reply.pages[-1].through if reply.pages else reply.since
        if reply.too_large:
            through = max(now, through)
            self.coverage.mark_lost(endpoint, through)
        self._since[replica] = through
        self.coverage.advance(endpoint, replica, through)

    def _report(
        self,
        replicas: Iterable[ServingReplica],
        left: Iterable[tuple[FleetSpec, str, bytes]],
        passed: Mapping[FleetId, PassedRequests] | None,
        now: int,
    ) -> dict[str, Coverage]:
        alive = {id for _, id, *_ in replicas} | {id for _, id, _ in self._left}
        self.coverage.forget(alive, {id for _, id, _ in left}, now)
        for known in (
            self._since,
            self._answered_by,
            self._failures_by,
            self._doubts,
            self._quiet.seen,
            self._measured_at,
        ):
            for id in known.keys() - alive:
                del known[id]
        for counts in (self._answered, self._failed, self._failures):
            for fleet in [fleet for fleet in counts if self.target.spec(fleet) is None]:
                del counts[fleet]
        endpoints = None
        if passed is not None:
            endpoints = {fleet.endpoint for fleet in passed} | {spec.id.endpoint for spec, *_ in replicas}
        return self.coverage.report(endpoints, now)

    async def _ask(self, question: StatsQuery) -> StatsReply | None:
        """Ask a replica for its counts. None if there is no usable answer."""
        spec, now = question.spec, question.now
        try:
            since = await self._first(spec, question.replica, now, question.met)
        except TidegateError:
            return None
        pages: list[ReplicaStats] = []
        while len(pages) < SLICES:
            at = pages[-1].through if pages else since
            answer = await self.get(question.socket, stats_path(at, at + SLICE), TIMEOUT)
            if answer is not None and answer[0] == TOO_LARGE:
                return StatsReply(since, tuple(pages), too_large=True)
            page = await _read(answer[1], at, at + SLICE, now, spec) if answer and answer[0] == GOOD else None
            if page is None:
                break
            pages.append(page)
            if page.through >= now:
                break
        return StatsReply(since, tuple(pages)) if pages else None

    async def _passed(self) -> Mapping[FleetId, PassedRequests] | None:
        try:
            passed = await self.passed()
        except Exception as error:
            if not self._blind:
                log.warning("what the proxy answered itself is not known now: %s", error)
            self._blind = True
            return None
        self._blind = False
        return passed

    async def _first(self, spec: FleetSpec, replica: str, now: int, met: int | None) -> int:
        """The first second not yet taken from a replica. A clock that was set back must not blind the collector until
        it catches up."""
        since = self._since.get(replica)
        if since is not None:
            return max(now - BACKLOG, min(since, now))
        if replica in self._inherited:
            return await self._find_taken(spec, now)
        return now - BACKLOG if met is None else max(now - BACKLOG, met - EARLY)

    async def _find_taken(self, spec: FleetSpec, now: int) -> int:
        """The first second that an earlier controller did not take from this fleet."""
        named = {
            "EndpointName": spec.id.endpoint,
            "VariantName": spec.id.variant,
            "EndpointConfigName": spec.config_name,
        }
        # Every request has a value of this one, also of an asynchronous endpoint.
        last = await self.metrics.last(MetricId.of(SAGEMAKER, "Invocation5XXErrors", named), now - BACKLOG)
        return now - BACKLOG if last is None else min(last + 1, now)

    async def _harvest_counts(self, spec: FleetSpec, replica: str, body: bytes, now: int) -> list[FleetSecond]:
        """The counts that a replica left when it ended, which include the second that was not over."""
        try:
            since = await self._first(spec, replica, now, None)
        except TidegateError:
            self._left.append((spec, replica, body))
            return []
        page = await _read(body, since, None, now, spec) if len(body) <= MOST_BODY else None
        if page is None:
            self.coverage.mark_lost(spec.id.endpoint, now)
            return self._count_dropped(spec, replica, ["last counts that cannot be read"], now)
        return self._records(spec, replica, page, now)

    # -- what they said --------------------------------------------------------------------------------------

    def _records(self, spec: FleetSpec, replica: str, page: ReplicaStats, now: int) -> list[FleetSecond]:
        """A second that cannot be used whole leaves a hole in the counts of its endpoint, and so does a page with
        doubtful content."""
        self._take_failures(spec.id, replica, page.failures)
        before = self._answered_by.get(replica, 0)
        seen = sum(record.invocations - record.errors_5xx for record in page.records)
        # A worker of an earlier version, or one whose number cannot be used, has answered what it counted at least.
        self._answered_by[replica] = before + seen if page.answered is None else max(before, page.answered)
        self._answered[spec.id] += self._answered_by[replica] - before
        for record in page.records:
            if not record.whole:
                self.coverage.mark_lost(spec.id.endpoint, record.second + 1)
        known = self._doubts.setdefault(replica, set())
        doubts = [doubt for doubt in page.doubts if doubt not in known and len(known) < MOST_DOUBTS]
        if doubts:
            self.coverage.mark_lost(spec.id.endpoint, page.through)
        wrong = self._count_dropped(spec, replica, [*page.problems, *doubts], now)
        known.update(doubts)
        return [counted(self._blank(spec, record.second), spec, record) for record in page.records] + wrong

    def _take_failures(self, fleet: FleetId, replica: str, failures: Sequence[FailureMessage]) -> None:
        """Add what a replica says anew to what is known of its fleet, of which the newest messages stay."""
        if not failures:
            return
        known, before = self._failures.setdefault(fleet, {}), self._failures_by.get(replica, {})
        for one in failures:
            more = one.count - before.get(one.message, 0)
            if more > 0:
                count = known[one.message].count if one.message in known else 0
                known[one.message] = FailureMessage(one.message, count + more, one.at)
        self._failures_by[replica] = {one.message: one.count for one in failures}
        newest = sorted(known.values(), key=lambda one: one.at, reverse=True)[:MOST_FAILURES]
        self._failures[fleet] = {one.message: one for one in newest}

    def _failure_texts(self) -> dict[FleetId, tuple[str, ...]]:
        return {
            fleet: tuple(
                f"{one.message} ({one.count} times)" if one.count > 1 else one.message for one in known.values()
            )
            for fleet, known in self._failures.items()
        }

    def _count_dropped(self, spec: FleetSpec, replica: str, what: Sequence[str], now: int) -> list[FleetSecond]:
        """Count what could not be used, and log the first case of each replica."""
        if not what:
            return []
        known = self._doubts.setdefault(replica, set())
        if not known:
            log.warning(
                "fleet %s: replica %s reports what cannot be used: %s (counted from now on, not logged again)",
                *(spec.id, replica, what[0]),
            )
            known.add(what[0])
        return [replace(self._blank(spec, now - 1), dropped=len(what))]

    def _count_in_flight(self, found: Iterable[tuple[FleetSpec, int]], second: int) -> list[FleetSecond]:
        """Requests in flight on each replica, and the utilization of provisioned concurrency."""
        groups: dict[FleetId, tuple[FleetSpec, list[float]]] = {}
        for spec, count in found:
            groups.setdefault(spec.id, (spec, []))[1].append(float(count))
        return [
            replace(self._blank(spec, second), in_flight=tuple(counts), series=utilized(spec, sum(counts)))
            for spec, counts in groups.values()
        ]

    def _provisioned(self, spec: FleetSpec, second: int) -> FleetSecond:
        """Provisioned replicas are billed whether they get requests or not."""
        bounds = spec.variant.serverless
        return replace(self._blank(spec, second), series=billed(spec, bounds.least if bounds else 0))

    def _count_by_proxy(self, passed: Mapping[FleetId, PassedRequests], second: int) -> list[FleetSecond]:
        """A refused request counts as a request and as a server error; a throttled one counts as neither, so that one
        client cannot make an endpoint scale out."""
        parts = []
        for fleet, load in self._outage.attribute(passed, self.target.seen).items():
            if load is IDLE:
                continue
            spec, series = self.target.spec(fleet), waiting(load)
            if spec is not None and (load.unanswered or series):
                parts.append(
                    replace(
                        self._blank(spec, second),
                        invocations=load.unanswered,
                        errors_5xx=load.unanswered,
                        model_errors=load.unanswered - load.refused,
                        series=series,
                    )
                )
        return parts

    def _measured(self, replicas: Iterable[ServingReplica], second: int) -> list[FleetSecond]:
        """A measurement after some seconds stands for each of them: means would be those of the busy ones
        otherwise. Of a job each value is a host's."""
        known, parts = {one.pid: one for one in replicas if one.pid}, list[FleetSecond]()
        for pid, one in self.usage(list(known)).items():
            spec, id, *_ = known[pid]
            waited = 1 if spec.detached is not None else second - self._measured_at.get(id, second)
            times = max(1, min(waited, ASKED_EVERY))
            self._measured_at[id] = second
            cpu, memory = (one.cpu,) * times, (one.memory,) * times
            parts.append(replace(self._blank(spec, second), cpu=cpu, memory=memory))
        return parts

    def _blank(self, spec: FleetSpec, second: int) -> FleetSecond:
        return FleetSecond(
            spec.id,
            spec.config_name,
            second,
            self.target.ready_count(spec.id),
            queued=spec.variant.asynchronous is not None,
        )


async def _read(body: bytes, since: int, before: int | None, now: int, spec: FleetSpec) -> ReplicaStats | None:
    arguments = body, since, before, now, spec.variant.model.container_names
    return read_page(*arguments) if len(body) <= INLINE else await asyncio.to_thread(read_page, *arguments)
