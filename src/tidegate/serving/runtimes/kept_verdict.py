"""Keeps what the probes of a model found (``row_probes``), so that later starts of the same model need not run them.

The file lies beside the model's folder, never in it: whoever made the model data cannot bring a verdict along. It
counts only if it is a plain file of this user that nobody else may read or write, whole, and made from the same
inputs: the bytes of every file of the model, the probe rows and their limits, the model's settings, the versions of
the libraries, the processor, and our own code. Otherwise the probes run again.
"""

import hashlib
import os
import platform
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np

from tidegate.domain.decoding import prepare_type
from tidegate.host.atomic_write import write_atomically
from tidegate.serving.formats.rounding import Scale
from tidegate.serving.runtimes.row_probes import LONGEST, Dependent, Pool, ProbeBudget, judge
from tidegate.serving.runtimes.tabular_scorer import TabularScorer

MOST = 64 * 1024 * 1024
"""Bytes of a model beyond which reading them would take as long as the probes."""
_MOST_KEPT = 1024 * 1024
_LIBRARIES = ("numpy", "scipy", "sklearn", "skops", "joblib", "threadpoolctl", "pandas")
_VARIABLES = re.compile(r"(OMP|OPENBLAS|GOTO|MKL|BLIS|KMP|NPY|NUMPY|SKLEARN|SCIPY)_")
"""Variables of this process by which libraries choose how they compute."""
_PROCESSOR = re.compile(
    rb"^(?:vendor_id|cpu family|model|model name|stepping|flags|Features|CPU \w+)\s*:.*$", re.M
)

_DECIDING = ("formats", "runtimes", "scoring")

Identity = tuple[tuple[str, int, int, int, int], ...]


class _Content(msgspec.Struct, frozen=True):
    """``why``: rows influence each other; empty: they do not. ``complete``: all essential probes were run.
    ``scale``: bytes of the magnitude of a typical answer. ``seal``: digest of the rest."""

    key: str
    complete: bool
    why: str
    dtype: str
    shape: tuple[int, ...]
    scale: bytes
    seal: str = ""

    def sealed(self) -> "_Content":
        bare = msgspec.structs.replace(self, seal="")
        return msgspec.structs.replace(bare, seal=hashlib.sha256(msgspec.json.encode(bare)).hexdigest())


@dataclass(frozen=True)
class ProbeVerdict:
    complete: bool
    why: str
    scale: Scale


@dataclass(frozen=True)
class VerdictFile:
    """``key``: digest of all that the probes depend on."""

    path: Path
    key: str

    def read(self) -> ProbeVerdict | None:
        """Return what the probes found; None if there is no valid file."""
        try:
            found = msgspec.json.decode(_read_private(self.path), type=prepare_type(_Content))
            if found.key != self.key or found != found.sealed():
                return None
            scale = np.frombuffer(found.scale, np.dtype(found.dtype)).reshape(found.shape)
        except (OSError, ValueError, TypeError, msgspec.DecodeError):
            return None
        if scale.dtype.kind != "f" or not (np.isfinite(scale) & (scale >= 0)).all():
            return None  # an infinite one would make any two answers equal
        return ProbeVerdict(found.complete, found.why, scale)

    def write(self, verdict: ProbeVerdict) -> None:
        """Store the verdict. If it cannot be written, the next start runs the probes again."""
        scale = np.asarray(verdict.scale)
        content = _Content(
            self.key, verdict.complete, verdict.why, scale.dtype.str, scale.shape, scale.tobytes()
        ).sealed()
        with suppress(OSError):
            write_atomically(self.path, msgspec.json.encode(content), durable=False)


def decide_batching(table: TabularScorer, budget: ProbeBudget, kept: VerdictFile | None) -> None:
    """Allow batches by what is kept, else by the probes. If these ran out of time, ``table.checks_left`` runs all of
    them, for later starts. Raises Dependent."""
    verdict = None if kept is None else kept.read()
    if verdict is not None and verdict.why:
        raise Dependent(verdict.why)
    if verdict is not None and verdict.complete:
        table.allow_batches(verdict.scale)
        return
    finding = judge(table.run, budget)
    table.allow_batches(finding.scale)
    if kept is not None and finding.complete:
        kept.write(ProbeVerdict(True, "", finding.scale))
    elif kept is not None and verdict is None:
        table.checks_left = partial(_run_all, table, budget, kept)


def _run_all(table: TabularScorer, budget: ProbeBudget, kept: VerdictFile) -> str:
    """Run all essential probes and keep what they find. Returns why rows influence each other; empty if they do
    not."""
    try:
        finding = judge(table.run, replace(budget, seconds=LONGEST))
    except Dependent as dependent:
        if not isinstance(dependent.__context__, MemoryError | OSError):  # it may not be the model's fault
            kept.write(ProbeVerdict(True, str(dependent), 0.0))
        return str(dependent)
    except Exception as error:  # whatever the model raises; nothing is known of it then
        return f"it could not be probed: {' '.join(f'{type(error).__name__}: {error}'.split())[:200]}"
    kept.write(ProbeVerdict(finding.complete, "", finding.scale))
    return ""


# --- what a verdict depends on ---


def identify(folder: Path) -> Identity | None:
    """Identify the files of a model folder, before the model is read. None: a verdict cannot be kept, because the
    platform did not fill the folder, or it holds more than plain files, or is too large."""
    if not folder.with_name(f"{folder.name}.complete").exists():
        return None
    try:
        found = [(path, path.lstat()) for path in sorted(folder.rglob("*"))]
    except OSError:
        return None
    files = [(path, about) for path, about in found if not stat.S_ISDIR(about.st_mode)]
    plain = all(stat.S_ISREG(about.st_mode) for _, about in files)
    if not plain or sum(about.st_size for _, about in files) > MOST:
        return None
    return tuple(
        (str(path.relative_to(folder)), about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)
        for path, about in files
    )


def find_verdict(
    folder: Path, seen: Identity | None, budget: ProbeBudget, environment: Mapping[str, str]
) -> VerdictFile | None:
    """Find the file that keeps the verdict of the model in ``folder``. ``seen``: the identity of the model's files
    before it was read. None if a verdict cannot be kept, or if the files have changed since."""
    if seen is None or not _CODE:
        return None
    digest = hashlib.sha256()
    for part in (*_surroundings(), *_settings(budget, environment), *_rows(budget.pool)):
        digest.update(len(part).to_bytes(8, "little") + part)
    try:
        for name, *_ in seen:
            content = (folder / name).read_bytes()
            digest.update(hashlib.sha256(os.fsencode(name)).digest() + hashlib.sha256(content).digest())
        if identify(folder) != seen:
            return None
    except OSError:
        return None
    return VerdictFile(folder.with_name(f"{folder.name}.rows"), digest.hexdigest())


def _surroundings() -> Iterator[bytes]:
    yield _CODE.encode()
    yield f"{sys.version} {platform.machine()}".encode()
    for name in _LIBRARIES:
        yield f"{name} {getattr(sys.modules.get(name), '__version__', '')}".encode()
    yield _processor()
    yield ascii(sorted((k, v) for k, v in os.environ.items() if _VARIABLES.match(k))).encode()


def _settings(budget: ProbeBudget, environment: Mapping[str, str]) -> Iterator[bytes]:
    yield ascii(sorted(environment.items())).encode()
    yield f"{budget.cap} {budget.known} {budget.pool.ordinary} {budget.pool.essential}".encode()


def _rows(pool: Pool) -> Iterator[bytes]:
    columns = pool.rows.items() if isinstance(pool.rows, dict) else [("", pool.rows)]
    for name, values in columns:
        yield ascii((name, values.dtype.str, values.shape)).encode()
        yield ascii(values.tolist()).encode() if values.dtype.hasobject else values.tobytes()


def _processor() -> bytes:
    """Return the properties of the processor by which libraries choose their kernels. They are those of the first
    entry, as there is one for each core."""
    try:
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            entry = file.read(16 * 1024).partition(b"\n\n")[0]
    except OSError:
        return b""
    return b"\n".join(_PROCESSOR.findall(entry))


def _read_private(path: Path) -> bytes:
    """Read a file that only this user can have written. Raises OSError, and ValueError for any other file."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(number, "rb") as file:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077:
            raise ValueError(f"{path} is not this user's own")
        return file.read(_MOST_KEPT)


def _digest_code(root: Path = Path(__file__).parent.parent) -> str:
    """Return the digest of the code that decides; empty if it cannot be read, as in an archive or where only byte
    code is."""
    digest = hashlib.sha256()
    try:
        files = [sorted((root / folder).rglob("*.py")) for folder in _DECIDING]
        if not all(files):
            return ""
        for path in chain.from_iterable(files):
            digest.update(f"{path.relative_to(root)} ".encode() + hashlib.sha256(path.read_bytes()).digest())
    except OSError:
        return ""
    return digest.hexdigest()


_CODE = _digest_code()
"""Read when this module is imported: what runs is what was there then, also in workers that are forked later."""
