"""Backup and restore of a platform's database, beside a running platform or in its absence."""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
from sqlalchemy import Connection

from tidegate.compose.leadership import leading
from tidegate.domain.errors import Conflict, Invalid, NotFound, StartupError
from tidegate.domain.targets import LOCAL
from tidegate.host.features import features
from tidegate.host.state_folder import StateFolder
from tidegate.ports.artifacts import ArtifactArchive
from tidegate.ports.label_archive import LabelArchive
from tidegate.settings import Settings
from tidegate.store import DatabaseLimits, SqlStore, backup, backup_file, open_store
from tidegate.store.backup import Contents, ProgressCallback
from tidegate.store.backup_file import Header
from tidegate.store.commit_mark import CommitMark
from tidegate.store.database import open_database
from tidegate.store.engine import read_address, sqlite_file
from tidegate.store.errors import DamagedDatabase
from tidegate.store.lease import lock_file
from tidegate.store.schema import rebuild
from tidegate.targets.registry import KINDS

LIMIT = 24 * 3600.0
"""Seconds that a backup or a restore may take."""
LEAVE = 60.0
"""Seconds in which a controller that was asked to leave has to end."""


def open_archive(state: Path) -> ArtifactArchive:
    """The model data that is kept for undo: the local target keeps it."""
    kept = KINDS[LOCAL].archive
    assert kept is not None
    return kept(state)


def find_label_archive() -> LabelArchive | None:
    """Also while the feature is off: its records are kept, and so are its files."""
    return next((archive for _, archive in features().hooks("label_archive", off=True)), None)


@dataclass(frozen=True)
class RestoredBackup:
    """``replaced``: where a damaged database was put aside."""

    header: Header
    contents: Contents
    replaced: Path | None = None


def save(
    settings: Settings,
    path: Path,
    *,
    metrics: bool,
    progress: ProgressCallback,
    models: bool = False,
    labels: bool = True,
) -> Contents:
    """Write a backup file; ``models``: with the model data that is kept for undo; ``labels``: with late labels. The
    platform may run meanwhile. Raises NotFound, Invalid, StartupError, Conflict."""
    file = _sqlite_file(settings)
    if file is not None and not file.exists():
        raise NotFound(f"there is no database at {file}: name the state folder with --state")
    database = open_database(_url(settings), limits=DatabaseLimits(settings.database_timeout), prepare=False)
    archive = open_archive(settings.state) if models else None
    state, kept = settings.state.expanduser().absolute(), find_label_archive() if labels else None
    snapshot = contextlib.nullcontext() if kept is None else kept.take_snapshot(state)
    try:
        with snapshot as found:
            some = found if found is not None and found.count() else None
            return database.read(
                lambda connection: backup.export(
                    connection, path, metrics=metrics, progress=progress, models=archive, labels=some
                ),
                limit=LIMIT,
            )
    finally:
        database.shut()


def load(
    settings: Settings, path: Path, *, force: bool, verifying: Callable[[int], None], progress: ProgressCallback
) -> RestoredBackup:
    """Restore a backup file, all of it or nothing. Raises Conflict where a controller runs or something is there
    already; with ``force`` the controller ends, what serves is left to the next one, and what was there is replaced.
    Raises Invalid for a file that cannot be used, StartupError."""
    header = backup_file.verify(path, verifying)
    folder = _take(settings.state, force)
    settings = replace(settings, state=folder.path)
    try:
        done = asyncio.run(_Restore(settings, folder, path, header, force, progress).run())
        CommitMark(folder.path, _url(settings)).forget()
        return done
    except OSError as error:
        raise StartupError(f"{folder.path} cannot be written: {error.strerror or error}") from None
    finally:
        folder.release()


@dataclass(frozen=True)
class _Restore:
    settings: Settings
    folder: StateFolder
    path: Path
    header: Header
    force: bool
    progress: ProgressCallback

    async def run(self) -> RestoredBackup:
        if backup.LABELS not in self.header.tables:
            return await self._restore()
        state, labels = self.folder.path, find_label_archive()
        if labels is None:
            raise Invalid("the backup has late labels, and no feature that is installed keeps any")
        with labels.prepare(state, backup.read_labels(self.path)):
            done = await self._restore()
            labels.settle(state)
        return done

    async def _restore(self) -> RestoredBackup:
        if backup.MODELS in self.header.tables:
            # First, since data without records does no harm: the server removes what no version needs.
            open_archive(self.folder.path).write(backup.read_models(self.path))
        for _, stop in features().hooks("restore", off=True):
            await stop(self.settings, self.folder.installation)
        store = open_store(_url(self.settings), DatabaseLimits(self.settings.database_timeout), prepare=False)
        try:
            async with leading(store, self.settings, asyncio.Event(), lambda: None, seize=self.force):
                return RestoredBackup(self.header, await self._restore_rows(store))
        except DamagedDatabase as error:
            if not self.force:
                raise Conflict(f"{error}: nothing was restored yet") from None
            if (file := _sqlite_file(self.settings)) is None:
                return RestoredBackup(self.header, await self._restore_rows(store, rebuild))
        finally:
            await store.close()
        return await self._restore_new_file(file)

    async def _restore_rows(
        self, store: SqlStore, before: Callable[[Connection], None] = lambda _: None
    ) -> Contents:
        """Restore in one transaction, which includes ``before``."""

        def work(connection: Connection) -> Contents:
            before(connection)
            return backup.restore(
                connection,
                self.path,
                self.header,
                force=self.force,
                now=datetime.now(UTC),
                progress=self.progress,
            )

        return await store.database.call(lambda: store.database.transact(work, limit=LIMIT))

    async def _restore_new_file(self, file: Path) -> RestoredBackup:
        """Restore into a new file, which then replaces the damaged one; that one is kept."""
        lock = lock_file(file)
        new, old = file.with_name(f"{file.name}.new"), file.with_name(f"{file.name}.damaged")
        try:
            for path in _files(new):
                path.unlink(missing_ok=True)
            store = open_store(f"sqlite:///{new}")
            try:
                contents = await self._restore_rows(store)
            finally:
                await store.close()  # and so its write-ahead log is part of it
            for path in _files(old):
                path.unlink(missing_ok=True)
            for path, aside in zip(_files(file)[1:], _files(old)[1:], strict=True):
                with contextlib.suppress(FileNotFoundError):
                    path.rename(aside)
            _keep(file, old)
            new.replace(file)
            _settle(file.parent)
            return RestoredBackup(self.header, contents, old)
        finally:
            os.close(lock)


def _url(settings: Settings) -> str:
    return settings.database_url or f"sqlite:///{settings.state.expanduser().absolute() / 'tidegate.db'}"


def _sqlite_file(settings: Settings) -> Path | None:
    return sqlite_file(read_address(_url(settings)))


def _files(database: Path) -> list[Path]:
    """A SQLite database and the files that belong to it."""
    return [database.with_name(database.name + end) for end in ("", "-wal", "-shm")]


def _keep(file: Path, copy: Path) -> None:
    """Give the file a second name; it stays in place until another replaces it."""
    try:
        os.link(file, copy)
    except OSError:  # a file system without links
        shutil.copyfile(file, copy)


def _settle(folder: Path) -> None:
    """Wait until new names in the folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take(state: Path, force: bool) -> StateFolder:
    deadline = time.monotonic() + LEAVE
    asked = False
    while True:
        try:
            return StateFolder.take(state)
        except StartupError as error:
            pid = _controller(state.expanduser().resolve())
            if pid is None or time.monotonic() > deadline:
                raise
            if not force:
                raise Conflict(
                    f"a controller runs on {state} (pid {pid}): stop it with 'tidegate down', or let --force end it "
                    "and leave what serves to the next one"
                ) from error
        if not asked:
            os.kill(pid, signal.SIGHUP)
            asked = True
        time.sleep(0.1)


def _controller(state: Path) -> int | None:
    """The process id of the controller that uses this folder."""
    try:
        pid = int((state / "tidegate.pid").read_text())
        line = psutil.Process(pid).cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return pid if "tidegate.cli.controller" in line and str(state) in line else None
