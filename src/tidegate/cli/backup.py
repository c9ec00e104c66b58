"""``server backup`` and ``server restore``: the platform's database in one file, SQLite or PostgreSQL."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tidegate.cli.output import AsJson, console, print_note, show
from tidegate.settings import Settings

STATE = Annotated[
    Path | None, typer.Option(readable=False, help="The state folder. [default: ~/.local/state/tidegate]")
]
ROWS_PER_UPDATE = 1000
"""Rows between two updates of the progress bar."""


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.", show_default=False)],
    state: STATE = None,
    metrics: Annotated[bool, typer.Option("--metrics", help="Include measurements.")] = False,
    models: Annotated[
        bool, typer.Option("--models", help="Include the model data that 'rollout undo' needs.")
    ] = False,
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Include late labels and what they are joined with.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Write all that the platform knows into one file.

    That is its records, their journal, queued requests, users, API tokens, the audit and late labels.

    The platform may run meanwhile: the file is a consistent snapshot. It lacks settings, access keys and stored
    answers, and without --models the model data of earlier versions. The database is found as by the server: by
    --state or TIDEGATE_STATE, and TIDEGATE_DATABASE_URL.

    \b
    Examples:
      tidegate server backup tidegate-monday.backup
      tidegate server backup /backups/tidegate.backup --metrics --models --json
    """
    from tidegate.compose import backups  # noqa: PLC0415 (the other commands start without a database)

    with _progress_bar(as_json) as step:
        done = backups.save(
            _settings(state), file, metrics=metrics, models=models, labels=labels, progress=step("backing up")
        )
    document = {"file": str(file), "bytes": file.stat().st_size, "sha256": done.sha256, "rows": done.rows}
    show(document, as_json, f"{file}: {_describe_rows(done.rows)}, {document['bytes']:,} bytes")


def restore(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What 'tidegate server backup' wrote.", show_default=False)
    ],
    state: STATE = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace existing data, damaged or not; stop a running controller."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup file, completely or not at all.

    Start the platform afterwards.

    A backup of SQLite can be restored to PostgreSQL and vice versa. Endpoints come up with the versions that they
    had; queued requests are executed, even if they have been executed since the backup.

    \b
    Examples:
      tidegate server restore tidegate-monday.backup
      tidegate server restore tidegate-monday.backup --force
      TIDEGATE_DATABASE_URL=postgresql://tidegate@db/tidegate tidegate server restore moving.backup
    """
    from tidegate.compose import backups  # noqa: PLC0415 (the other commands start without a database)

    with _progress_bar(as_json) as step:
        verifying = step("checking")
        done = backups.load(
            _settings(state),
            file,
            force=force,
            verifying=lambda rows: verifying(rows, 0),
            progress=step("restoring"),
        )
    if done.replaced is not None:
        print_note(f"the damaged database is kept as {done.replaced}: remove it when the restored one works")
    header, rows = done.header, done.contents.rows
    document = {
        "file": str(file),
        "made_at": header.made_at.isoformat(),
        "rows": rows,
        "replaced": done.replaced and str(done.replaced),
    }
    made = f"{header.made_at:%Y-%m-%d %H:%M:%S %Z}"
    show(document, as_json, f"restored {_describe_rows(rows)} as of {made}; start the platform with 'tidegate up'")


def _settings(state: Path | None) -> Settings:
    return Settings.from_environment(os.environ, state=state)


def _describe_rows(rows: dict[str, int]) -> str:
    names = {"records": "records", "journal": "lines of their journal", "queue": "requests in the queue"}
    access = {"users": "users", "tokens": "API tokens", "audit": "lines of the audit"}
    names |= {table: name for table, name in access.items() if rows.get(table)}
    said = [f"{rows[table]:,} {name}" for table, name in names.items()]
    said += [f"{rows['models']:,} parts of model data"] if "models" in rows else []
    said += [f"{rows['labels']:,} parts of labels"] if "labels" in rows else []
    measured = sum(count for table, count in rows.items() if table not in (*names, *access, "models", "labels"))
    return ", ".join([*said, f"{measured:,} measurements"] if measured else said)


@contextmanager
def _progress_bar(quiet: bool) -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Makes steps of a progress bar: each receives the number of rows done and in total; 0: unknown."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} rows"))
    on_screen = not quiet and sys.stdout.isatty()
    with Progress(*columns, TimeElapsedColumn(), console=console(), disable=not on_screen, transient=True) as bar:

        def step(name: str) -> Callable[[int, int], None]:
            task = bar.add_task(name, total=None)

            def update(done: int, total: int) -> None:
                if done % ROWS_PER_UPDATE == 0 or done == total:
                    bar.update(task, completed=done, total=total or None)

            return update

        yield step
