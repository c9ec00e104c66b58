"""One worker process: known whatever the clock says, never left running unseen, ended with all that it started."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.unit.targets.local.local_harness import FLEET, run, sleeper, stand, until
from tidegate.host.atomic_write import write_private
from tidegate.host.installation import Installation
from tidegate.host.process_stats import process_tree
from tidegate.targets.local import process as local_process
from tidegate.targets.local.process import NOTE, Identity, Process


def test_a_process_is_known_by_what_no_step_of_the_clock_changes() -> None:
    with sleeper() as process:
        identity = Identity.of(process.pid)
        assert identity is not None
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert identity.started == f"{boot} {ticks}"
        assert Process(identity).alive
        assert not Process(Identity(process.pid, f"{boot} 1")).alive, "another process had this pid"
        process.kill()
        assert process.wait() and Identity.of(process.pid) is None


def test_a_process_that_has_ended_and_was_not_reaped_is_not_alive() -> None:
    with sleeper() as process:
        identity = Identity.of(process.pid)
        assert identity is not None
        process.kill()

        async def gone() -> None:
            await until(lambda: not Process(identity).alive, "a zombie is dead")

        run(gone())


def test_a_worker_whose_note_cannot_be_written_is_not_left_running() -> None:
    with stand() as here:
        folder = here.folders.replica(FLEET, "r-1")
        (folder / f"{NOTE}.new").mkdir(parents=True)  # in the way of the note
        (folder / "replica.json").write_text("{}")
        with pytest.raises(OSError):
            Process.start(folder / "replica.json", here.folders.log(FLEET, "r-1"), {})
        assert not [
            p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or ())
        ]


def test_what_a_worker_started_ends_with_it_though_it_left_its_process_group() -> None:
    grandchild = (
        "import os, time; os.setpgid(0, 0); os.fork(); os.write(1, b'%d\\n' % os.getpid()); time.sleep(120)"
    )
    child = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {grandchild!r}]); time.sleep(120)"
    )
    started = subprocess.Popen([sys.executable, "-c", child], start_new_session=True, stdout=subprocess.PIPE)
    assert started.stdout is not None
    others = [int(started.stdout.readline()) for _ in range(2)]
    identity = Identity.of(started.pid)
    assert identity is not None
    Process(identity, started).kill()
    started.wait()

    async def ended() -> None:
        await until(lambda: all(Identity.of(pid) is None for pid in others), "they have ended, too")

    run(ended())
    started.stdout.close()


def test_the_children_of_a_worker_are_measured_with_it() -> None:
    code = "import subprocess, sys; subprocess.run(['sleep', '120'])"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:

        async def there() -> None:
            await until(lambda: len(list(process_tree(process.pid, all_threads=False))) == 2, "the child is seen")

        run(there())
        own, child = process_tree(process.pid, all_threads=False)
        assert own == process.pid
        assert psutil.Process(child).ppid() == own
        psutil.Process(child).kill()


def test_a_disk_that_takes_a_part_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    write_private(path, b"old")
    code = (
        "import resource, sys; from pathlib import Path; from tidegate.host.atomic_write import write_private\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_private(Path(sys.argv[1]), b'x' * 5000)\n"
        "except OSError: sys.exit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 7
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["fleet.json"], "no part is left either"


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize("whose", ["ours", "an earlier version's", "the original's", "a look at a file"])
def test_a_process_is_adopted_by_its_command_line(tmp_path: Path, whose: str, noted: bool) -> None:
    """Whether its pid was noted or not: a copied folder has the notes of the original."""
    installation = Installation.take(tmp_path)
    folder = tmp_path / "fleets" / "r-1"
    folder.mkdir(parents=True)
    spec, (option, mark) = folder / "replica.json", installation.python
    (folder / NOTE).write_bytes(msgspec.json.encode({"pid": 1, "started": 1.5}))  # of an older form
    command = {
        "ours": [sys.executable, option, mark, "-c", "import time; time.sleep(120)", str(spec)],
        "an earlier version's": [sys.executable, "-m", "tidegate.serving.process.fork_server", str(spec)],
        "the original's": [sys.executable, option, mark + "0", "-c", "import time; time.sleep(120)", str(spec)],
        "a look at a file": ["tail", "-f", str(spec), "/dev/null"],
    }[whose]
    with subprocess.Popen(
        command,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        if noted:
            (folder / NOTE).write_bytes(msgspec.json.encode(Identity.of(process.pid)))
        adopted = Process.adopt(folder, installation)
        process.kill()
    found = None if adopted is None else adopted.identity.pid
    assert found == (process.pid if whose in ("ours", "an earlier version's") else None)


def test_a_boot_whose_id_could_not_be_read_once_is_known_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a process had no free file descriptor: every worker would be another one from then on."""
    right = Identity.of(os.getpid())
    local_process._boot_id.cache_clear()
    with monkeypatch.context() as changed:
        changed.setattr(local_process, "BOOT_ID", tmp_path / "none")
        Identity.of(os.getpid())
    assert Identity.of(os.getpid()) == right
