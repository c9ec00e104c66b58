"""What is kept of jobs that may be resumed: for how long, and how much."""

import os
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.transform import TransformInput, TransformJob, TransformOutput
from tidegate.host.installation import Installation
from tidegate.targets.local import runners
from tidegate.targets.local.paths import Folders
from tidegate.targets.local.runners import KEEP_FOR, KeptWork, LocalRunners, find_outdated

NOW = 2_000_000_000.0
KEPT = st.lists(
    st.builds(KeptWork, st.uuids().map(str), st.floats(NOW - 2 * KEEP_FOR, NOW), st.integers(0, 100)), max_size=12
)


@given(KEPT, st.integers(0, 400))
def test_what_is_kept_is_young_and_no_more_than_it_may_be(kept: list[KeptWork], most: int) -> None:
    gone = set(find_outdated(kept, NOW, most))
    left = [one for one in kept if one.name not in gone]
    assert sum(one.size for one in left) <= most
    assert all(NOW - one.ended <= KEEP_FOR for one in left)
    for one in kept:
        younger = sum(other.size for other in kept if other.ended >= one.ended)
        assert (one.name in gone) is (NOW - one.ended > KEEP_FOR or younger > most) or len(kept) > len(
            {other.ended for other in kept}
        )


def job(resumed: int = 0) -> TransformJob:
    created = datetime(2026, 3, 1, tzinfo=UTC)
    model = Model("m", (ContainerDefinition("i"),), created)
    return TransformJob(
        "j", model, TransformInput("file:///in/"), TransformOutput("file:///out"), created, resumed=resumed
    )


def local(folder: Path) -> LocalRunners:
    folders = Folders(folder, folder, Installation(folder, "id"))
    return LocalRunners(folders, dict(os.environ), lambda name: None)


async def test_checkpoints_stay_and_what_can_be_had_again_does_not(tmp_path: Path) -> None:
    found = local(tmp_path)
    parts = found.folder("j") / "parts"
    parts.mkdir(parents=True)
    for ending in ("json", "out", "errors", "source", "assembled", "coming"):
        (parts / f"a.{ending}").write_text("x")
    await found.keep("j")
    assert {path.name for path in parts.iterdir()} == {"a.json", "a.out", "a.errors"}
    await found.prune(())
    assert parts.exists()
    old = NOW - KEEP_FOR
    os.utime(found.folder("j") / runners.KEPT, (1.0, old - NOW + 1.0 if old > NOW else 1.0))
    await found.prune(("j",))
    assert parts.exists(), "it goes on"
    await found.prune(())
    assert not found.folder("j").exists()


async def test_work_of_a_job_that_goes_on_is_never_pruned(tmp_path: Path) -> None:
    found = local(tmp_path)
    (found.folder("j") / "parts").mkdir(parents=True)
    os.utime(found.folder("j"), (1.0, 1.0))
    await found.prune(())
    assert found.folder("j").exists()


async def test_a_result_from_before_a_job_was_resumed_counts_for_nothing(tmp_path: Path) -> None:
    found = local(tmp_path)
    found.folder("j").mkdir(parents=True)
    (found.folder("j") / "result.json").write_text('{"reason": "broken off"}\n\n\n')
    assert (await found.look(job())).reason == "broken off"
    assert (await found.look(job(resumed=1))).reason is None
    (found.folder("j") / "result.json").write_text('{"reason": "", "attempt": 1}')
    assert (await found.look(job(resumed=1))).reason == ""
