"""The keeper of live runs on a store in memory: it sends what records ask for, and ends what is over."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.gateway_harness import GatewayHarness
from tidegate.domain.access import ANYBODY, Caller, Means, Role, Session, Token, User
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Conflict, Invalid, TidegateError, Transient, UnreadableRecord
from tidegate.features.lessons import run_service as live_runs
from tidegate.features.lessons.keeper import RIGHTS_GONE, LiveRuns
from tidegate.features.lessons.run_records import LIVE_RUN, TAG, LiveRun, RunTraffic
from tidegate.ports.access import AccessBook
from tidegate.ports.store import Kind, Tx
from tidegate.service import tags
from tidegate.service.record_kinds import ENDPOINT
from tidegate.settings import Settings

HOUR = timedelta(hours=1)


async def do_nothing(run: LiveRun) -> None:
    pass


@dataclass
class FakePlayer:
    play: Callable[[LiveRun], Awaitable[None]] = do_nothing
    revoke: Callable[[LiveRun], Awaitable[None]] = do_nothing
    remove: Callable[[LiveRun], Awaitable[None]] = do_nothing


def run(work: Callable[[GatewayHarness, LiveRuns], Awaitable[None]], state: Path, *, people: bool = False) -> None:
    """``people``: the server has users."""

    async def whole() -> None:
        house = GatewayHarness(Settings(state=state), people=people)
        keeper = LiveRuns(house.gateway)
        try:
            await work(house, keeper)
        finally:
            await keeper.close()
            await house.store.close()

    asyncio.run(whole())


def write_requests(keeper: LiveRuns, what: str) -> None:
    lines = [json.dumps({"body": body, "content_type": "text/csv", "headers": {}}) for body in ("1,2", "3,4")]
    (keeper.folder(what) / "requests.jsonl").write_text("\n".join(lines))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(300):
        while not holds():
            await asyncio.sleep(0.01)


def test_requests_are_sent_in_turn_and_counted_until_somebody_halts_them(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "ann", HOUR)
        write_requests(keeper, "lab")
        await keeper.send("lab", 100, 60)
        await until(lambda: sum(keeper.counts("lab").answered.values()) >= 4)
        assert keeper.is_sending("lab")
        await keeper.halt("lab")
        assert not keeper.is_sending("lab")
        sent = keeper.counts("lab").sent
        assert [body for _, _, body in house.asked[:4]] == [b"1,2", b"3,4", b"1,2", b"3,4"]
        assert house.asked[0][0] == "/endpoints/shown/invocations"
        assert sum(one.sent for one in keeper.counts("lab").seconds.values()) == sent == len(house.asked)

    run(work, tmp_path)


def test_looks_at_the_records_that_come_together_leave_one_sender(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "ann", HOUR)
        write_requests(keeper, "lab")
        await keeper.send("lab", 100, 600)
        await keeper.close()
        second = LiveRuns(house.gateway)
        await asyncio.gather(*(second.turn() for _ in range(5)))
        assert second.is_sending("lab")
        await second.halt("lab")
        await until(lambda: sum(second.counts("lab").answered.values()) == second.counts("lab").sent)
        sent = len(house.asked)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await until(lambda: len(house.asked) > sent)
        assert len(house.asked) == sent, "somebody still sends"
        await second.close()

    run(work, tmp_path)


def test_another_process_goes_on_sending_as_the_record_says(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "ann", HOUR)
        write_requests(keeper, "lab")
        await keeper.send("lab", 100, 60)
        await keeper.close()
        house.asked.clear()
        second = LiveRuns(house.gateway)
        second.start()
        await until(lambda: len(house.asked) > 2)
        await second.close()

    run(work, tmp_path)


def test_a_run_that_lasted_as_long_as_it_may_is_removed_with_its_folder(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "ann", HOUR)
        write_requests(keeper, "lab")
        house.clock.shift = HOUR
        assert await keeper.turn()
        ended = await keeper.find("lab")
        assert ended is not None and (ended.ended_by, ended.open) == ("the server", False)
        assert not keeper.folder("lab").exists()
        assert not await keeper.turn(), "nothing is open, and the keeper may sleep"

    run(work, tmp_path)


def test_a_run_whose_files_are_gone_does_not_hold_up_another(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        seen: list[str] = []

        async def note(found: LiveRun) -> None:
            seen.append(found.what)

        await keeper.begin("lab", "shown", "ann", HOUR)
        await keeper.begin("peak", "other", "ann", HOUR)
        write_requests(keeper, "lab")
        await keeper.send("lab", 1, 60)
        await keeper.close()
        (keeper.folder("lab") / "requests.jsonl").unlink()
        with pytest.raises(Invalid, match="no requests can be read"):
            await keeper.send("lab", 1, 60)
        second = LiveRuns(house.gateway, FakePlayer(play=note))
        assert await second.turn()
        assert sorted(seen) == ["lab", "peak"]

    run(work, tmp_path)


def test_a_run_that_begins_has_an_empty_folder_and_one_that_is_refused_touches_none(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        keeper.folder("lab").mkdir(parents=True)
        (keeper.folder("lab") / "left over").touch()
        begun = await keeper.begin("lab", "shown", "ann", HOUR)
        assert list(keeper.folder("lab").iterdir()) == []
        (keeper.folder("lab") / "kept").touch()
        with pytest.raises(Conflict, match="there is one at a time"):
            await keeper.begin("lab", "shown", "bob", HOUR)
        assert (keeper.folder("lab") / "kept").exists()
        assert await keeper.find("lab") == replace(begun, by="ann")

    run(work, tmp_path)


async def make_endpoint(house: GatewayHarness, tag: str) -> None:
    now = house.clock.now()

    def work(tx: Tx) -> None:
        tx.put(ENDPOINT, "shown", Endpoint("shown", now, now), expect=0, now=now)
        tags.add(tx, ENDPOINT, "shown", {TAG: tag}, now)

    await house.store.run(work)


async def change_record(house: GatewayHarness, run: LiveRun) -> None:
    await house.store.run(lambda tx: tx.put(LIVE_RUN, run.what, run, expect=None, now=house.clock.now()))


def test_an_endpoint_that_somebody_else_makes_under_the_name_gets_no_requests(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "ann", HOUR)
        write_requests(keeper, "lab")
        await keeper.send("lab", 100, 600)
        assert keeper.is_sending("lab")
        await make_endpoint(house, "of another run")
        await keeper.turn()
        assert not keeper.is_sending("lab")
        with pytest.raises(Conflict, match="is not touched"):
            await keeper.send("lab", 100, 600)

    run(work, tmp_path)


def test_its_own_endpoint_goes_on_getting_requests(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        begun = await keeper.begin("lab", "shown", "ann", HOUR)
        write_requests(keeper, "lab")
        await make_endpoint(house, begun.id)
        await keeper.send("lab", 100, 600)
        await keeper.turn()
        assert keeper.is_sending("lab")

    run(work, tmp_path)


def test_a_run_without_a_folder_is_ended_and_blocks_no_other(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        (tmp_path / "live-runs").write_text("a file is in the way")
        with pytest.raises(Transient, match="cannot be made"):
            await keeper.begin("lab", "shown", "ann", HOUR)
        (tmp_path / "live-runs").unlink()
        found = await keeper.find("lab")
        assert found is not None and (found.ending or not found.open)
        await keeper.turn()
        await keeper.begin("lab", "shown", "ann", HOUR)

    run(work, tmp_path)


def test_a_run_whose_turn_fails_unexpectedly_does_not_hold_up_the_removal_of_another(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        async def fail(found: LiveRun) -> None:
            if found.what == "a":
                raise KeyError("found")

        await keeper.begin("a", "other", "ann", HOUR)
        await keeper.begin("lab", "shown", "ann", HOUR)
        await keeper.close()
        keeper.player = FakePlayer(play=fail)
        await house.store.run(lambda tx: live_runs.ask_to_end(tx, "lab", "ann", house.clock.now()))
        assert await keeper.turn()
        found = await keeper.find("lab")
        assert found is not None and not found.open

    run(work, tmp_path)


def test_a_record_that_names_another_folder_removes_nothing_there(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        now = house.clock.now()
        keeper.folder("lab").mkdir(parents=True)
        (tmp_path / "state" / "kept").mkdir()
        forged = LiveRun("../kept", "id", "shown", "ann", now, now + HOUR, ending_at=now)
        await change_record(house, forged)
        await keeper.turn()
        assert (tmp_path / "state" / "kept").exists()

    run(work, tmp_path / "state")


@pytest.mark.parametrize("file", ["../../requests.jsonl", "/etc/hostname", ""])
def test_a_record_that_names_another_file_sends_nothing_of_it(tmp_path: Path, file: str) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        begun = await keeper.begin("lab", "shown", "ann", HOUR)
        await keeper.close()
        (tmp_path / "requests.jsonl").write_text('{"body": "secret"}')
        await change_record(house, replace(begun, traffic=RunTraffic(house.clock.now(), 60, 100, file)))
        await keeper.turn()
        assert not keeper.is_sending("lab")

    run(work, tmp_path)


@pytest.mark.parametrize("back", [timedelta(minutes=10), timedelta(days=400)])
def test_a_clock_that_was_set_back_before_its_beginning_ends_a_run(tmp_path: Path, back: timedelta) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "ann", HOUR)
        house.clock.shift = -back
        await keeper.turn()
        ended = await keeper.find("lab")
        assert ended is not None and (ended.ended_by, ended.open) == ("the server", False)

    run(work, tmp_path)


def test_a_run_whose_files_cannot_be_removed_has_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "ann", HOUR)
        await keeper.close()
        await house.store.run(lambda tx: live_runs.ask_to_end(tx, "lab", "ann", house.clock.now()))
        with monkeypatch.context() as broken:
            broken.setattr("shutil.rmtree", lambda folder, ignore_errors=False: None)
            assert await keeper.turn()
        found = await keeper.find("lab")
        assert found is not None and found.open and keeper.folder("lab").exists()
        await keeper.turn()
        found = await keeper.find("lab")
        assert found is not None and not found.open and not keeper.folder("lab").exists()

    run(work, tmp_path)


def test_what_still_writes_into_the_folder_is_ended_before_the_folder_is_removed(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        async def write(found: LiveRun) -> None:
            keeper.folder("lab").mkdir(exist_ok=True)
            (keeper.folder("lab") / "late").touch()

        keeper.player = FakePlayer(remove=write)
        await keeper.begin("lab", "shown", "ann", HOUR)
        await keeper.close()
        await house.store.run(lambda tx: live_runs.ask_to_end(tx, "lab", "ann", house.clock.now()))
        await keeper.turn()
        assert not keeper.folder("lab").exists()

    run(work, tmp_path)


LOSSES: dict[str, Callable[[AccessBook, GatewayHarness], Awaitable[object]]] = {
    "a lower role": lambda book, house: book.change_user("ann", house.clock.now(), role=Role.VIEWER),
    "disabled": lambda book, house: book.change_user("ann", house.clock.now(), disabled=True),
    "removed": lambda book, house: book.remove_user("ann"),
}
SESSION, TOKEN = Caller("ann", Role.OPERATOR, Means.SESSION), Caller("ann", Role.OPERATOR, Means.TOKEN, "ci")


async def add_ann(house: GatewayHarness) -> AccessBook:
    book, now = house.logins.book, house.clock.now()
    await book.add_user(User("root", Role.ADMIN, "x", now, now))
    await book.add_user(User("ann", Role.OPERATOR, "x", now, now))
    await book.add_token(Token("t1", "digest", "ann", Role.OPERATOR, "ci", now, None))
    return book


async def check_goes_on(keeper: LiveRuns, *, expected: bool) -> None:
    await keeper.turn()
    found = await keeper.find("lab")
    assert found is not None and (found.open and not found.ending) is expected


@pytest.mark.parametrize("caller", [SESSION, TOKEN], ids=["session", "token"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_run_ends_once_whoever_began_it_may_do_this_no_more(tmp_path: Path, loss: str, caller: Caller) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        book = await add_ann(house)
        keeper.player = FakePlayer(revoke=told.append_run)
        await keeper.begin("lab", "shown", "ann", HOUR, caller)
        write_requests(keeper, "lab")
        await keeper.send("lab", 100, 600)
        await check_goes_on(keeper, expected=True)
        assert keeper.is_sending("lab")
        await LOSSES[loss](book, house)
        await check_goes_on(keeper, expected=False)
        assert not keeper.is_sending("lab") and told.runs == ["lab"]
        (entry,) = await house.trail.audit.read()
        assert (entry.who, entry.about, entry.outcome) == (caller.shown, "shown", "refused")
        assert RIGHTS_GONE in entry.detail
        ended = await keeper.find("lab")
        assert ended is not None and (ended.open, ended.ended_by) == (False, "the server")

    told = Told()
    run(work, tmp_path, people=True)


def test_a_run_without_rights_ends_although_what_is_kept_of_it_cannot_be_read(tmp_path: Path) -> None:
    async def fail(found: LiveRun) -> None:
        raise UnreadableRecord("its challenge cannot be read")

    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        book = await add_ann(house)
        keeper.player = FakePlayer(revoke=fail)
        await keeper.begin("lab", "shown", "ann", HOUR, SESSION)
        write_requests(keeper, "lab")
        await keeper.send("lab", 100, 600)
        await LOSSES[next(iter(LOSSES))](book, house)
        await check_goes_on(keeper, expected=False)
        assert not keeper.is_sending("lab")

    run(work, tmp_path, people=True)


class Told:
    def __init__(self) -> None:
        self.runs: list[str] = []

    async def append_run(self, found: LiveRun) -> None:
        self.runs.append(found.what)


def test_a_run_ends_with_the_token_the_key_or_the_last_session_that_it_was_begun_with(tmp_path: Path) -> None:
    async def with_token(house: GatewayHarness, keeper: LiveRuns) -> None:
        book = await add_ann(house)
        await keeper.begin("lab", "shown", "ann", HOUR, TOKEN)
        await check_goes_on(keeper, expected=True)
        await book.remove_token("t1")
        await check_goes_on(keeper, expected=False)

    async def with_session(house: GatewayHarness, keeper: LiveRuns) -> None:
        book, now = await add_ann(house), house.clock.now()
        session = Session("digest", "eve", Role.OPERATOR, "csrf", now, now, now + HOUR)
        await book.begin_session(session, password="", instead_of="", most=5)
        await keeper.begin("lab", "shown", "eve", HOUR, Caller("eve", Role.OPERATOR, Means.SESSION))
        await check_goes_on(keeper, expected=True)
        await book.end_session("digest")
        await check_goes_on(keeper, expected=False)

    async def with_key(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "ann", HOUR, Caller("AKIDEXAMPLE", Role.ADMIN, Means.KEY))
        await keeper.close()
        for key, expected in (("AKIDEXAMPLE", True), ("ANOTHER", False)):
            settings = Settings(state=tmp_path, access_keys={key: "secret"})
            again = LiveRuns(GatewayHarness(settings, store=house.store).gateway)
            await check_goes_on(again, expected=expected)

    async def before_there_were_users(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "somebody", HOUR, ANYBODY)
        await check_goes_on(keeper, expected=False)

    for work in (with_token, with_session, with_key, before_there_were_users):
        run(work, tmp_path, people=work is not with_key)


def test_whoever_removes_the_tag_of_a_run_does_not_keep_its_endpoint(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        found = await keeper.begin("lab", "shown", "ann", HOUR)
        await make_endpoint(house, found.id)
        await keeper.turn()
        now = house.clock.now()
        await house.store.run(lambda tx: tags.remove(tx, ENDPOINT, "shown", [TAG], now))
        await keeper.end("lab", "bob")
        await keeper.turn()
        saved = await house.store.run(lambda tx: tx.get(ENDPOINT, "shown"))
        assert saved is not None and saved.body.deleting

    run(work, tmp_path)


def test_an_endpoint_that_is_made_anew_under_the_name_is_not_the_runs(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        found = await keeper.begin("lab", "shown", "ann", HOUR)
        await make_endpoint(house, found.id)
        await keeper.turn()
        now = house.clock.now()
        await house.store.run(lambda tx: tx.delete(ENDPOINT, "shown", expect=None, now=now))
        await make_endpoint(house, "of another run")
        await keeper.end("lab", "bob")
        await keeper.turn()
        saved = await house.store.run(lambda tx: tx.get(ENDPOINT, "shown"))
        assert saved is not None and not saved.body.deleting

    run(work, tmp_path)


def test_a_record_of_a_run_that_cannot_be_read_holds_up_no_end(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "ann", HOUR)
        now = house.clock.now()
        raw = Kind(LIVE_RUN.name, object)
        await house.store.run(lambda tx: tx.put(raw, "peak", "what a later version wrote", expect=0, now=now))
        house.clock.shift = HOUR
        await keeper.turn()
        ended = await keeper.find("lab")
        assert ended is not None and not ended.open
        with pytest.raises(TidegateError, match="cannot be read"):
            await keeper.begin("peak", "other", "ann", HOUR)

    run(work, tmp_path)
