"""Names, knobs, memory readings and the journal of crashes of multi-model workers."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import Invalid
from tidegate.features.multi_model.worker.config import BadTarget, key_of, read_config, target_of
from tidegate.features.multi_model.worker.crashes import SLOTS, Crashes, stand_in
from tidegate.features.multi_model.worker.disk_cache import GOOD, NEXT, DiskCache, place
from tidegate.features.multi_model.worker.metrics import LABELS, OTHER, Labels
from tidegate.host import memory

# --- names ---


@pytest.mark.parametrize("name", ["a", "a/b.tar.gz", "Kunde 7/größe.ubj", "..a/b..", "x" * 255])
def test_paths_below_the_prefix_are_names(name: str) -> None:
    assert target_of(name.encode()) == name


@pytest.mark.parametrize(
    "name",
    ["", "/", "..", "a/../b", "./a", "a//b", "a/", "a\\b", "a\0b", "a\nb", "x" * 256, "a/" * 511 + "toolong"],
)
def test_paths_outside_the_prefix_are_no_model_names(name: str) -> None:
    with pytest.raises(BadTarget):
        target_of(name.encode())


@given(st.binary(max_size=60))
def test_model_names_cannot_leave_the_prefix(header: bytes) -> None:
    try:
        name = target_of(header)
    except BadTarget:
        return
    path = (Path("/srv/prefix") / name).resolve()
    assert path.is_relative_to("/srv/prefix") and path != Path("/srv/prefix")
    assert len(key_of(name)) == 32


# --- knobs ---


def test_multi_model_settings_are_read_from_the_environment() -> None:
    given = {"MULTI_MODEL_MEMORY_MB": "64", "MULTI_MODEL_PINNED": "a.ubj, /b/c.ubj,", "MULTI_MODEL_PREFETCH": "d"}
    config = read_config(given, cache=False, memory=1)
    assert (config.memory, config.pinned, config.prefetch) == (64 * 2**20, frozenset({"a.ubj", "b/c.ubj"}), ("d",))
    assert (config.minimum_stay, config.loading, config.cache) == (10.0, 2, False)
    assert read_config({}, cache=True, memory=5 * 2**20).memory == 5 * 2**20
    assert config.disk is None and read_config({"MULTI_MODEL_DISK_MB": "2"}, cache=True, memory=1).disk == 2**21


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("MULTI_MODEL_MEMORY_MB", "0", "must be a number of at least 1"),
        ("MULTI_MODEL_MEMORY_MB", "lots", "must be a number of at least 1"),
        ("MULTI_MODEL_MINIMUM_STAY", "nan", "must be a number of at least 0"),
        ("MULTI_MODEL_MAX_LOADING", "0", "must be a number of at least 1"),
        ("MULTI_MODEL_DISK_MB", "0", "must be a number of at least 1"),
        ("MULTI_MODEL_PINNED", "../x", "MULTI_MODEL_PINNED: TargetModel"),
    ],
)
def test_impossible_multi_model_settings_are_refused(name: str, value: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        read_config({name: value}, cache=True, memory=1)


# --- memory ---


@pytest.mark.parametrize("size", [200_000, 5_000_000])
def test_memory_from_malloc_is_read_to_the_byte(size: int) -> None:
    malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
    malloc.restype, free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    memory.read()
    before = memory.read()
    held = malloc(size)
    after = memory.read()
    free(held)
    assert size <= after.used - before.used < size + 16_384
    assert memory.grown(before, after, 0) >= size


def test_growth_is_never_less_than_what_is_known() -> None:
    same = memory.read()
    assert memory.grown(same, same, 77) == 77
    assert memory.grown(memory.MemoryReading(0, 0), memory.MemoryReading(10, 1 << 20), 0) == 10
    assert memory.grown(memory.MemoryReading(0, 0), memory.MemoryReading(10, 1 << 24), 0) == 1 << 24


# --- crashes ---


@contextmanager
def alive_with(folder: Path, *keys: str, connection: int = 0) -> Iterator[None]:
    """A worker that has these in hand, and entered a further one and left it; it is killed at the end."""
    script = f"""
        import os, pathlib, socket, time
        from tidegate.features.multi_model.worker.crashes import Crashes
        crashes = Crashes(pathlib.Path({str(folder)!r}), "replica-" + str(os.getpid()))
        crashes.leave(crashes.enter("left"))
        for key in {keys!r}:
            crashes.enter(key)
        if {connection}:  # among others, as a worker's are
            others = [socket.socketpair() for _ in range(100)]
            last = os.dup({connection})
            os.close({connection})
        print("ready", flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    inherited = (connection,) if connection else ()
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=inherited) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()


def died_with(folder: Path, *keys: str) -> None:
    with alive_with(folder, *keys):
        pass


def test_requests_in_flight_of_a_dead_worker_are_suspect(tmp_path: Path) -> None:
    died_with(tmp_path, key_of("a"), key_of("b"))
    died_with(tmp_path, key_of("a"))
    with closing(Crashes(tmp_path, "r")) as crashes:
        assert crashes.suspects == {key_of("a"): 2, key_of("b"): 1}
        crashes.clear(key_of("a"))
        crashes.enter(key_of("c"))
    with closing(Crashes(tmp_path, "r2")) as after:
        assert after.suspects == {key_of("b"): 1}


def test_requests_in_flight_of_a_live_worker_are_not_suspect(tmp_path: Path) -> None:
    with alive_with(tmp_path, key_of("a")), closing(Crashes(tmp_path, "other")) as other:
        assert other.suspects == {}
        died_with(tmp_path, key_of("b"))
        other.look()
        assert other.suspects == {key_of("b"): 1}


def test_a_request_like_a_suspect_one_is_suspect(tmp_path: Path) -> None:
    a, b = key_of("a"), key_of("b")
    with closing(Crashes(tmp_path, "r")) as crashes:
        assert not crashes.suspicious(a, b"")
        died_with(tmp_path, a, b)
        assert crashes.suspicious(a, b"") and crashes.suspicious(b, b"")
        assert not crashes.suspicious(a, b"x") and not crashes.suspicious(key_of("c"), b"")
        crashes.acquit(a, b"")
        crashes.condemn(b, b"")
        assert not crashes.suspicious(a, b"") and not crashes.is_condemned(a, b"")
        assert crashes.suspicious(b, b"") and crashes.is_condemned(b, b"")
    with closing(Crashes(tmp_path, "other")) as other:
        assert other.suspicious(b, b"") and not other.suspicious(a, b"")
        other.condemn(b, b"")
        other.clear(b)
        assert not other.suspicious(b, b"") and not other.is_condemned(b, b"")


def test_a_crash_is_known_by_the_time_its_connections_break(tmp_path: Path) -> None:
    """The proxy gives a request to the next worker as soon as the connection to the one before breaks."""
    with closing(Crashes(tmp_path, "r")) as crashes:
        for turn in range(20):
            ours, theirs = socket.socketpair()
            key = key_of(str(turn))
            with closing(ours), alive_with(tmp_path, key, connection=theirs.fileno()):
                theirs.close()
                crashes.look()
                assert not crashes.suspicious(key, b"")
                [path] = set(tmp_path.glob("replica-*.hand"))
                os.kill(int(path.stem.removeprefix("replica-")), signal.SIGKILL)
                assert ours.recv(1) == b""
                assert crashes.suspicious(key, b"")


@pytest.mark.parametrize("size", [0, 1, 1 << 16, (1 << 16) + 1, 1 << 20])
def test_body_fingerprints_differ_with_ends_and_length(size: int) -> None:
    body = bytes(size)
    assert stand_in(body) == stand_in(bytes(size)) != stand_in(body + b"\0")
    for at in {0, size - 1} if size else set():
        other = bytearray(body)
        other[at] = 1
        assert stand_in(body) != stand_in(bytes(other))


def test_a_full_crash_journal_ignores_further_requests(tmp_path: Path) -> None:
    with closing(Crashes(tmp_path, "r")) as crashes:
        slots = [crashes.enter(key_of(str(number))) for number in range(SLOTS + 1)]
        assert slots[-1] == -1
        for slot in slots:
            crashes.leave(slot)
        assert crashes.enter(key_of("again")) >= 0


# --- labels ---


def test_metric_labels_are_bounded() -> None:
    labels = Labels()
    labels.choose(((float(heat), f"m{heat}") for heat in range(1000)), 0.0)
    found = {labels.of(f"m{heat}") for heat in range(1000)}
    assert len(found) == LABELS + 1
    assert labels.of("m999") == (("TargetModel", "m999"),)
    assert labels.of("m0") == (("TargetModel", OTHER),)


# --- store ---


def put(store: DiskCache, key: str, which: str, content: str, forest: bool) -> None:
    partial = store.folder / "partial"
    if forest:
        partial.write_text(content)
    else:
        (partial / "model").mkdir(parents=True)
        (partial / "model" / "file").write_text(content)
        (partial / "mark").write_text(content)
    place(partial, store.path(key, which))


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("new", [True, False])
def test_a_promoted_version_replaces_the_one_before(tmp_path: Path, old: bool, new: bool) -> None:
    store, key = DiskCache(tmp_path / "store"), key_of("a")
    assert store.find(key) is None
    put(store, key, GOOD, "one", old)
    put(store, key, NEXT, "two", new)
    mark = store.next_mark(key)
    store.promote(key, mark)
    found = store.find(key)
    assert found is not None and found.forest is new
    assert (found.path if new else found.model / "file").read_text() == "two"
    assert found.size == 3
    assert store.find(key, NEXT) is None
    store.promote(key, mark)  # another replica did the same
    assert store.find(key) == found
    put(store, key, NEXT, "three", old)
    mark = store.next_mark(key) or "mark"
    store.refuse(key, mark)
    assert (store.refused(key), store.find(key, NEXT), store.find(key)) == (mark, None, found)
    store.forget(key)
    assert (store.refused(key), store.find(key)) == ("", None)


# --- the limit on the disk ---


def kept_forest(store: DiskCache, name: str, last: float) -> str:
    """A forest of 100 bytes that was last loaded then."""
    key = key_of(name)
    path = store.path(key, GOOD)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(100))
    os.utime(path, (last, last))
    return key


def there(store: DiskCache, keys: list[str]) -> list[bool]:
    return [store.find(key) is not None for key in keys]


def test_least_recently_loaded_forests_are_evicted(tmp_path: Path) -> None:
    store, now = DiskCache(tmp_path, 1000), 1e9
    keys = [kept_forest(store, str(number), now - 1000 + number) for number in range(10)]
    store.added(100, now)
    assert all(there(store, keys)), "there is room for ten"
    store.used(store.path(keys[0], GOOD))
    keys.append(kept_forest(store, "10", now))
    store.added(100, now)
    assert there(store, keys) == [True, False, False, *[True] * 8]


def test_what_cannot_be_made_again_and_what_is_recent_stays(tmp_path: Path) -> None:
    store, now = DiskCache(tmp_path, 100), 1e9
    refused, old, recent = (
        kept_forest(store, name, now - age) for name, age in (("a", 900), ("b", 800), ("c", 5))
    )
    store.refuse(refused, "mark")
    folder = store.path(key_of("d"), GOOD) / "model"
    folder.mkdir(parents=True)
    (folder.parent / "mark").write_text("m")
    store.added(100, now)
    assert there(store, [refused, old, recent, key_of("d")]) == [True, False, True, True]


def test_without_a_limit_no_forest_is_evicted(tmp_path: Path) -> None:
    store = DiskCache(tmp_path)
    keys = [kept_forest(store, str(number), 1.0) for number in range(3)]
    store.added(10**9, 1e9)
    assert all(there(store, keys))
