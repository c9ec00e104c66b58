"""How far the counts of an endpoint reach, whatever its replicas, the proxy, the clock and the controller do; and who
is to blame for what the proxy answered itself."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.collector_harness import NOW, CollectorHarness, collecting, loaded, second
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import Coverage
from tidegate.ports.router import ServerAddress
from tidegate.targets.collection.collector import BACKLOG, SLICE
from tidegate.targets.collection.sources import MOST_BODY, TOO_LARGE

OLD, NEW = FleetId("fraud", 1, "main"), FleetId("fraud", 2, "main")
OTHER = FleetId("other", 1, "main")

Story = Callable[[CollectorHarness], Awaitable[None]]


async def run(story: Story, file: Path | None = None) -> None:
    with collecting(file) as stand:
        await story(stand)


async def coverage(stand: CollectorHarness, now: int, endpoint: str = "fraud") -> Coverage:
    return (await stand.collect(now)).coverage[endpoint]


# -- coverage ------------------------------------------------------------------------------------------------


async def test_counts_are_covered_through_the_second_that_was_asked_for_with_or_without_requests() -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.worker(OLD, "a"), stand.worker(NEW, "b")
        assert await coverage(stand, NOW) == Coverage(NOW - BACKLOG, NOW)
        stand.worker(OLD, "a").seconds[NOW] = second(NOW)
        assert await coverage(stand, NOW + 1) == Coverage(NOW - BACKLOG, NOW + 1)
        assert await coverage(stand, NOW + 2) == Coverage(NOW - BACKLOG, NOW + 2)

    await run(story)


async def test_one_replica_that_hangs_holds_up_its_own_endpoint_alone() -> None:
    async def story(stand: CollectorHarness) -> None:
        hung, well = stand.worker(NEW, "hung"), stand.worker(OLD, "well")
        stand.worker(OTHER, "other")
        await stand.collect(NOW)
        stand.collector.patience = 0.02
        hung.raw = None
        for now in range(NOW + 1, NOW + 4):
            well.seconds[now - 1] = second(now - 1, errors=2, good=0)
            found = await stand.collect(now)
            assert found.coverage["fraud"].through == NOW
            assert found.coverage["other"].through == now
            assert [one.errors_5xx for one in found.seconds if one.errors_5xx] == [2], "others are not waited for"
        del stand.target.fleets[NEW]["hung"]
        assert await coverage(stand, NOW + 4) == Coverage(NOW + 4, NOW + 4), "what it counted since is lost"

    await run(story)


async def test_a_replica_that_answers_late_is_counted_late_and_once() -> None:
    async def story(stand: CollectorHarness) -> None:
        worker = stand.worker(OLD, "a")
        await stand.collect(NOW)
        worker.raw, stand.collector.patience = None, 0.02
        worker.seconds[NOW] = second(NOW, errors=1)
        assert await stand.counted(NOW + 1) == {}
        stand.collector._questions.pop("a")[1].cancel()  # as its time limit does
        worker.raw, stand.collector.patience = b"", 60
        assert await stand.counted(NOW + 2) == {NOW: (2, 1)}
        assert await coverage(stand, NOW + 3) == Coverage(NOW - BACKLOG, NOW + 3)

    await run(story)


async def test_counts_of_the_proxy_that_cannot_be_read_hold_up_everything() -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.worker(OLD, "a")
        await stand.collect(NOW)
        stand.loads = None
        assert (await coverage(stand, NOW + 1)).through == NOW
        assert (await coverage(stand, NOW + 2)).through == NOW
        stand.loads = []
        assert (await coverage(stand, NOW + 3)).through == NOW + 3

    await run(story)


async def test_before_the_proxy_was_read_nothing_is_covered() -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.worker(OLD, "a")
        stand.loads = None
        found = await coverage(stand, NOW)
        assert found.through <= found.since

    await run(story)


async def test_an_endpoint_without_replicas_is_covered_by_the_proxy() -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.target.fleets[OLD] = {}
        assert await coverage(stand, NOW) == Coverage(NOW, NOW)
        assert await coverage(stand, NOW + 1) == Coverage(NOW, NOW + 1)
        del stand.target.fleets[OLD]
        assert (await stand.collect(NOW + 2)).coverage == {}

    await run(story)


async def test_a_new_replica_is_asked_from_before_it_took_requests_and_leaves_no_hole() -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.worker(OLD, "a")
        await stand.collect(NOW)
        fresh = stand.worker(NEW, "b")
        fresh.seconds[NOW] = second(NOW, errors=1)
        assert await stand.counted(NOW + 1) == {NOW: (2, 1)}
        assert await coverage(stand, NOW + 2) == Coverage(NOW - BACKLOG, NOW + 2)

    await run(story)


async def test_a_new_endpoint_is_covered_from_when_it_came() -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.worker(OLD, "a")
        await stand.collect(NOW)
        stand.worker(OTHER, "b")
        assert await coverage(stand, NOW + 1, "other") == Coverage(NOW, NOW + 1)

    await run(story)


async def test_a_gap_within_what_workers_keep_is_no_hole() -> None:
    async def story(stand: CollectorHarness) -> None:
        worker = stand.worker(OLD, "a")
        await stand.collect(NOW)
        away = NOW + BACKLOG - 1
        worker.seconds = {at: second(at, errors=1) for at in range(NOW, away)}
        worker.asked.clear()
        assert len(await stand.counted(away)) == away - NOW, "in slices"
        assert worker.asked == [NOW, NOW + SLICE, NOW + 2 * SLICE]
        assert await coverage(stand, away + 1) == Coverage(NOW - BACKLOG, away + 1)
        assert await stand.counted(away + 2) == {}

    await run(story)


async def test_a_longer_gap_is_a_hole() -> None:
    async def story(stand: CollectorHarness) -> None:
        worker = stand.worker(OLD, "a")
        await stand.collect(NOW)
        away = NOW + BACKLOG + 100
        worker.seconds = {at: second(at) for at in range(NOW, away)}
        assert min(await stand.counted(away)) == away - BACKLOG
        assert await coverage(stand, away + 1) == Coverage(away - BACKLOG, away + 1)

    await run(story)


@pytest.mark.parametrize("harvested", [False, True])
@pytest.mark.parametrize("silent", [1, 30])
async def test_a_replica_that_ends_leaves_a_hole_unless_it_was_asked_lately_or_left_its_counts(
    harvested: bool, silent: int
) -> None:
    """What it had in flight when it died, the proxy counts."""

    async def story(stand: CollectorHarness) -> None:
        stand.worker(OLD, "a")
        dead = stand.worker(NEW, "b")
        await stand.collect(NOW)
        dead.seconds = {NOW: second(NOW, errors=7)}
        stand.forget(NEW, "b")
        if harvested:
            stand.collector.harvest(next(iter(stand.target.serving()))[0], "b", dead.page())
        found = await stand.collect(NOW + silent)
        hole = silent > 3 and not harvested
        assert found.coverage["fraud"] == Coverage(NOW + silent if hole else NOW - BACKLOG, NOW + silent)
        assert sum(one.errors_5xx for one in found.seconds) == (7 if harvested else 0)

    await run(story)


@pytest.mark.parametrize("body", [b"", b"{", b" " * (MOST_BODY + 1)], ids=["empty", "cut off", "huge"])
async def test_last_counts_that_cannot_be_read_are_a_hole(body: bytes) -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.worker(OLD, "a"), stand.worker(NEW, "b")
        await stand.collect(NOW)
        stand.forget(NEW, "b")
        stand.collector.harvest(next(iter(stand.target.serving()))[0], "b", body)
        found = await stand.collect(NOW + 1)
        assert found.coverage["fraud"] == Coverage(NOW + 1, NOW + 1)
        assert [one.dropped for one in found.seconds if one.dropped] == [1]

    await run(story)


async def test_a_restarted_controller_goes_on_without_a_hole(tmp_path: Path) -> None:
    async def story(stand: CollectorHarness) -> None:
        worker = stand.worker(OLD, "a")
        worker.seconds = {at: second(at) for at in range(NOW - 100, NOW + 600)}
        for now in range(NOW, NOW + 400, 100):
            await stand.collect(now)
        await written(stand)
        worker.seconds = {at: second(at, errors=1) for at in range(NOW + 250, NOW + 350)}
        stand.restart()
        assert set(await stand.counted(NOW + 350)) == set(range(NOW + 300, NOW + 350)), "each second once"
        assert await coverage(stand, NOW + 351) == Coverage(NOW - BACKLOG, NOW + 351)

    await run(story, tmp_path / "coverage.json")


async def written(stand: CollectorHarness) -> None:
    while stand.collector.coverage.is_behind:
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("idle", [False, True])
async def test_a_controller_that_comes_too_late_finds_a_hole(tmp_path: Path, idle: bool) -> None:
    async def story(stand: CollectorHarness) -> None:
        worker = stand.worker(OLD, "a")
        await stand.collect(NOW)
        await written(stand)
        stand.restart()
        late = NOW + BACKLOG + 50
        worker.seconds = {} if idle else {at: second(at) for at in range(NOW, late)}
        found = await coverage(stand, late)
        assert (found.since, found.through) == (late - BACKLOG, late)

    await run(story, tmp_path / "coverage.json")


async def test_a_replica_that_went_while_nobody_was_there_leaves_a_hole(tmp_path: Path) -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.worker(OLD, "a"), stand.worker(NEW, "b"), stand.worker(OTHER, "c")
        await stand.collect(NOW)
        await written(stand)
        stand.forget(NEW, "b")
        stand.restart()
        found = (await stand.collect(NOW + 30)).coverage
        assert found["fraud"] == Coverage(NOW + 30, NOW + 30)
        assert found["other"] == Coverage(NOW - BACKLOG, NOW + 30)

    await run(story, tmp_path / "coverage.json")


@pytest.mark.parametrize("text", ["", "{}", '{"endpoints": {"fraud": [1]}, "replicas": {}}', "\0" * 50])
async def test_a_damaged_file_costs_evidence_and_nothing_else(tmp_path: Path, text: str) -> None:
    file = tmp_path / "coverage.json"
    file.write_text(text)

    async def story(stand: CollectorHarness) -> None:
        stand.worker(OLD, "a")
        assert await coverage(stand, NOW) == Coverage(NOW - BACKLOG, NOW)

    await run(story, file)


async def test_a_database_that_cannot_be_read_at_the_start_holds_up_what_an_earlier_controller_left() -> None:
    async def story(stand: CollectorHarness) -> None:
        worker = stand.worker(OLD, "a")
        stand.metrics.away = True
        worker.seconds[NOW - 1] = second(NOW - 1)
        assert await stand.counted(NOW) == {}
        assert (await coverage(stand, NOW + 1)).through < NOW - 1
        worker.seconds[NOW + 1] = second(NOW + 1)
        stand.metrics.away = False
        assert await stand.counted(NOW + 2) == {NOW - 1: (1, 0), NOW + 1: (1, 0)}
        assert await coverage(stand, NOW + 3) == Coverage(NOW + 2 - BACKLOG, NOW + 3)

    await run(story)


async def test_a_clock_that_is_set_back_covers_no_more_than_it_shows() -> None:
    async def story(stand: CollectorHarness) -> None:
        worker = stand.worker(OLD, "a")
        await stand.collect(NOW)
        back = NOW - 90
        assert await coverage(stand, back) == Coverage(min(back, NOW - BACKLOG), back)
        worker.seconds = {back: second(back, errors=1)}
        assert await stand.counted(back + 1) == {back: (2, 1)}
        assert (await coverage(stand, back + 2)).through == back + 2

    await run(story)


# -- what cannot be used -------------------------------------------------------------------------------------


async def test_a_second_with_infinite_times_keeps_its_errors_and_is_a_hole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(stand: CollectorHarness) -> None:
        bad, well = stand.worker(NEW, "bad"), stand.worker(OTHER, "well")
        await stand.collect(NOW)
        for now in range(NOW + 1, NOW + 4):
            bad.seconds[now - 1] = second(now - 1, errors=4, good=0)
            bad.seconds[now - 1]["latency"]["total"] = None
            well.seconds[now - 1] = second(now - 1)
            found = await stand.collect(now)
            [one] = [one for one in found.seconds if one.fleet == NEW and one.invocations]
            assert (one.errors_5xx, one.model_latency, one.dropped) == (4, None, 1)
            assert found.coverage["fraud"] == Coverage(now, now)
            assert found.coverage["other"] == Coverage(NOW - BACKLOG, now)
        assert len([one for one in caplog.records if "cannot be used" in one.getMessage()]) == 1

    await run(story)


async def test_what_is_wrong_with_a_page_itself_counts_once(caplog: pytest.LogCaptureFixture) -> None:
    async def story(stand: CollectorHarness) -> None:
        worker = stand.worker(OLD, "a")
        await stand.collect(NOW)
        worker.raw = b'{"seconds": [{"second": "x"}, {"second": null}], "in_flight": -1}'
        found = [await stand.collect(now) for now in range(NOW + 1, NOW + 5)]
        assert [sum(one.dropped for one in each.seconds) for each in found] == [3, 0, 0, 0]
        assert found[0].coverage["fraud"] == Coverage(NOW + 1, NOW + 1)
        assert found[-1].coverage["fraud"] == Coverage(NOW + 1, NOW + 4)
        assert len([one for one in caplog.records if "cannot be used" in one.getMessage()]) == 1

    await run(story)


async def test_a_page_that_cannot_be_read_is_no_answer() -> None:
    async def story(stand: CollectorHarness) -> None:
        worker = stand.worker(OLD, "a")
        await stand.collect(NOW)
        worker.raw = b"<html>"
        assert (await coverage(stand, NOW + 1)).through == NOW
        worker.raw = b""
        assert (await coverage(stand, NOW + 2)) == Coverage(NOW - BACKLOG, NOW + 2)

    await run(story)


async def test_a_page_that_is_too_large_is_a_hole_and_is_not_asked_for_again() -> None:
    async def story(stand: CollectorHarness) -> None:
        worker = stand.worker(OLD, "a")
        await stand.collect(NOW)

        async def large(socket: ServerAddress, path: str, seconds: float = 0) -> tuple[int, bytes] | None:
            return TOO_LARGE, b""

        stand.collector.get = large
        assert await coverage(stand, NOW + 1) == Coverage(NOW + 1, NOW + 1)
        stand.collector.get = stand.answer
        worker.seconds = {at: second(at) for at in (NOW, NOW + 1)}
        assert await stand.counted(NOW + 2) == {NOW + 1: (1, 0)}

    await run(story)


async def test_what_fails_for_one_replica_fails_for_it_alone() -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.worker(OLD, "a"), stand.worker(OTHER, "b")

        async def failing(socket: ServerAddress, path: str, seconds: float = 0) -> tuple[int, bytes] | None:
            if str(socket) == "a":
                raise RuntimeError("nobody thought of this")
            return await stand.answer(socket, path, seconds)

        stand.collector.get = failing
        found = await stand.collect(NOW)
        assert found.coverage["other"].through == NOW
        assert found.coverage["fraud"].through < NOW
        assert [one.dropped for one in found.seconds if one.dropped] == [1]

    await run(story)


# -- what was answered, and by whom --------------------------------------------------------------------------


async def test_answers_are_added_up_over_the_replicas_of_a_fleet() -> None:
    async def story(stand: CollectorHarness) -> None:
        one, two = stand.worker(NEW, "a"), stand.worker(NEW, "b")
        one.answered = 5
        await stand.collect(NOW)
        assert stand.target.answers[NEW] == (5, 0)
        one.answered, two.answered = 7, 1
        await stand.collect(NOW + 1)
        await stand.collect(NOW + 2)
        assert stand.target.answers[NEW] == (8, 0)
        two.answered = 4
        stand.forget(NEW, "b")
        stand.collector.harvest(next(iter(stand.target.serving()))[0], "b", two.page())
        await stand.collect(NOW + 3)
        assert stand.target.answers == {NEW: (11, 0)}
        del stand.target.fleets[NEW]
        await stand.collect(NOW + 4)
        assert stand.target.answers == {}

    await run(story)


async def test_a_worker_that_does_not_say_how_many_it_answered_is_believed_by_its_counts() -> None:
    """One of an earlier version, adopted in mid-rollout, must not seem to have answered nothing."""

    async def story(stand: CollectorHarness) -> None:
        worker = stand.worker(NEW, "a")
        worker.answered = None
        worker.seconds = {NOW - 1: second(NOW - 1, errors=2, good=5)}
        await stand.collect(NOW)
        worker.seconds = {NOW: second(NOW, errors=1, good=3)}
        await stand.collect(NOW + 1)
        assert stand.target.answers[NEW] == (8, 3)

    await run(story)


async def blamed(stand: CollectorHarness, now: int, **load: object) -> tuple[int, int]:
    """Errors of the fleet, and requests that the platform could not take, after the proxy had these."""
    stand.loads = [{NEW: loaded(**load)}]
    seconds = [one for one in (await stand.collect(now)).seconds if one.fleet == NEW]
    platform = sum(s.values.total for one in seconds for s in one.series if s.name == "PlatformUnavailable")
    return sum(one.errors_5xx for one in seconds), int(platform)


async def test_requests_that_no_replica_could_take_after_a_start_of_the_proxy_are_the_platforms() -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.target.fleets[NEW] = {}
        assert await blamed(stand, NOW, unavailable=30, unserved=True) == (0, 30)
        stand.worker(NEW, "a")
        assert await blamed(stand, NOW + 1, unavailable=3, unanswered=2) == (2, 3)
        assert await blamed(stand, NOW + 2, unanswered=9) == (9, 0)
        stand.forget(NEW, "a")
        assert await blamed(stand, NOW + 3, unanswered=9) == (9, 0), "its own workers crashed"

    await run(story)


async def test_a_proxy_that_died_alone_excuses_no_version() -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.worker(NEW, "a")
        await stand.collect(NOW)
        assert await blamed(stand, NOW + 1, unavailable=5, unserved=True) == (5, 0)

    await run(story)


async def test_a_version_that_does_not_start_again_is_to_blame_itself() -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.target.fleets[NEW] = {}
        assert await blamed(stand, NOW, unavailable=5, unserved=True) == (0, 5)
        stand.target.failing.add(NEW)
        assert await blamed(stand, NOW + 1, unavailable=5, unserved=True) == (5, 0)

    await run(story)


async def test_where_all_replicas_were_lost_together_the_machine_failed(tmp_path: Path) -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.worker(OLD, "a"), stand.worker(NEW, "b")
        await stand.collect(NOW)
        await written(stand)
        stand.target.fleets = {OLD: {}, NEW: {}}
        stand.restart()
        assert await blamed(stand, NOW + 20, unanswered=40) == (0, 40)
        stand.worker(NEW, "c")
        assert await blamed(stand, NOW + 21, unanswered=4) == (0, 4)
        assert await blamed(stand, NOW + 22, unanswered=4) == (4, 0)
        stand.forget(NEW, "c")
        assert await blamed(stand, NOW + 23, unanswered=4) == (4, 0)

    await run(story, tmp_path / "coverage.json")


async def test_where_one_version_lost_its_replicas_it_is_to_blame(tmp_path: Path) -> None:
    async def story(stand: CollectorHarness) -> None:
        stand.worker(OLD, "a"), stand.worker(NEW, "b")
        await stand.collect(NOW)
        await written(stand)
        stand.forget(NEW, "b")
        stand.restart()
        assert await blamed(stand, NOW + 20, unanswered=40) == (40, 0)

    await run(story, tmp_path / "coverage.json")


def failure(message: str, count: int, at: float) -> dict[str, object]:
    return {"message": message, "count": count, "at": at}


async def test_the_last_messages_of_failed_requests_are_added_up_over_replicas() -> None:
    async def story(stand: CollectorHarness) -> None:
        one, other = stand.worker(NEW, "a"), stand.worker(NEW, "b")
        one.failures = [failure("500 no income", 2, NOW - 3.0)]
        other.failures = [failure("500 no income", 1, NOW - 2.0), failure("500 no age", 1, NOW - 1.0)]
        found = (await stand.collect(NOW)).failures
        assert found == {NEW: ("500 no age", "500 no income (3 times)")}
        one.failures = [failure("500 no income", 5, NOW - 0.5)]
        assert (await stand.collect(NOW + 1)).failures[NEW] == ("500 no income (6 times)", "500 no age")
        stand.forget(NEW, "a")
        assert (await stand.collect(NOW + 2)).failures[NEW] == ("500 no income (6 times)", "500 no age")

    await run(story)


async def test_unusable_messages_cost_themselves_alone() -> None:
    async def story(stand: CollectorHarness) -> None:
        worker = stand.worker(NEW, "a")
        bad: tuple[object, ...] = (
            None,
            7,
            [],
            {},
            failure("", 1, 0),
            failure("x", 0, 0),
            failure("x", 1, NOW + 1e6),
            failure("x", 1, float("nan")),
        )
        worker.failures = [failure("500 bad\x1b", 1, NOW - 1.0), *bad]
        found = await stand.collect(NOW)
        assert found.failures == {NEW: ("500 bad?",)}
        assert found.coverage["fraud"] == Coverage(NOW - BACKLOG, NOW)
        worker.failures = "no list"
        assert (await stand.collect(NOW + 1)).coverage["fraud"].through == NOW + 1

    await run(story)
