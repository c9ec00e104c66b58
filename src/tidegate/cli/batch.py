"""``batch``: a model over files, without an endpoint."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tidegate import spec
from tidegate.cli.artifacts import prepare
from tidegate.cli.client import ApiClient
from tidegate.cli.output import AsJson, client, console
from tidegate.domain.errors import Invalid, TidegateError

POLL_EVERY = 0.2
TYPES = {
    ".csv": "text/csv",
    ".jsonl": "application/jsonlines",
    ".json": "application/json",
    ".parquet": "application/x-parquet",
    ".npy": "application/x-npy",
}
SPLITS = {"none": "None", "line": "Line", "recordio": "RecordIO", "tfrecord": "TFRecord"}


class JobUnfinished(TidegateError):
    """The job did not end well."""


def batch(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL_OR_SPEC INPUT OUTPUT | resume JOB",
            help="A registered model or a spec file; a file, folder, s3:// or file:// prefix; where the answers go. "
            "Or a job that failed or was stopped, to go on with what it had done.",
            show_default=False,
        ),
    ],
    *,
    name: Annotated[str | None, typer.Option("--name", help="Name of the job; made up when left out.")] = None,
    split: Annotated[str | None, typer.Option(help="none, line, recordio or tfrecord.")] = None,
    content_type: Annotated[
        str,
        typer.Option(metavar="IN[,OUT]", help="What the input is (by its name when left out), and the output."),
    ] = "",
    join: Annotated[bool, typer.Option("--join", help="Put each answer behind its record.")] = False,
    input_filter: Annotated[str, typer.Option(help="JSONPath of what the model gets, such as '$[1:]'.")] = "$",
    output_filter: Annotated[str, typer.Option(help="JSONPath of what the output gets.")] = "$",
    instances: Annotated[int, typer.Option(help="Processes that serve the model.")] = 1,
    on_bad_rows: Annotated[str, typer.Option(help="fail, or errors: bad rows go to a file of errors.")] = "fail",
    as_json: AsJson = False,
) -> None:
    """Run a model over files: no endpoint is needed.

    The exit status is 1 when the job does not complete. Trouble with the storage or the disk is waited for. What was
    done is kept for a week, and "resume" goes on with it.

    \b
    Examples:
      tidegate batch fraud.yaml employees.csv scores/
      tidegate batch fraud-v2 s3://data/in/ s3://data/out/ --split line --on-bad-rows errors
      tidegate batch fraud-v2 ids.csv scores/ --input-filter '$[1:]' --join --output-filter '$[0,-1]'
      tidegate batch resume nightly
    """
    with client() as server:
        if len(words) == 2 and words[0] == "resume":
            return _finish(server, server.resume_transform(words[1]), as_json)
        if len(words) != 3:
            raise typer.BadParameter("expected MODEL_OR_SPEC INPUT OUTPUT, or resume JOB", param_hint="arguments")
        model, source, output = words
        asked: dict[str, Any] = {
            **_model_option(server, model),
            **_data_options(_to_uri(source), _to_uri(output), split, content_type),
            "processing": {"join": join, "input_filter": input_filter, "output_filter": output_filter},
            "on_bad_rows": on_bad_rows,
            "instances": instances,
        }
        _finish(server, server.transform({**asked, "name": name} if name else asked), as_json)


def _finish(server: ApiClient, job: dict[str, Any], as_json: bool) -> None:
    """Follow a job to its end. Raises Unfinished."""
    job = _follow(server, job, quiet=as_json)
    print(json.dumps(job) if as_json else _describe_job(job))
    if job["status"] != "Completed":
        reason = job["reason"] or "it was stopped"
        raise JobUnfinished(
            f"job {job['job']} {job['status'].lower()}: {reason}; go on with 'tidegate batch resume {job['job']}'"
        )


def _data_options(source: str, output: str, split: str | None, content_types: str) -> dict[str, object]:
    """Where it comes from and goes to. Names that end in .gz are packed."""
    packed = source.endswith(".gz")
    given, _, accept = content_types.partition(",")
    kind = given or TYPES.get(Path(source.removesuffix(".gz")).suffix, "text/csv")
    cut = split or ("line" if kind in ("text/csv", "application/jsonlines") else "none")
    if cut not in SPLITS:
        raise Invalid(f"--split {cut}: expected one of {', '.join(SPLITS)}")
    return {
        "source": {"uri": source, "content_type": kind, "split": SPLITS[cut], "gzip": packed},
        "sink": {"uri": output, "accept": accept, "by_line": cut == "line"},
    }


def _model_option(server: ApiClient, given: str) -> dict[str, object]:
    path = Path(given)
    if path.suffix not in (".yaml", ".yml"):
        return {"model": given}
    try:
        loaded = spec.load(path.read_text(), str(path))
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None
    here = urlsplit(server.url).hostname in ("localhost", "127.0.0.1", "::1")
    return {"spec": prepare(loaded, path.parent, must_exist=here)}


def _to_uri(given: str) -> str:
    if "://" in given:
        return given
    path = Path(given).expanduser().absolute()
    return path.as_uri() + ("/" if given.endswith("/") or path.is_dir() else "")


def _follow(server: ApiClient, job: dict[str, Any], quiet: bool) -> dict[str, Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    on_screen = not quiet and sys.stdout.isatty()
    with Progress(*columns, TimeElapsedColumn(), console=console(), disable=not on_screen) as bar:
        task = bar.add_task(job["job"], said="starting", total=None)
        while job["status"] in ("InProgress", "Stopping"):
            time.sleep(POLL_EVERY)
            job = server.transform_job(job["job"])
            _draw(bar, task, job)
    return job


def _draw(bar: Progress, task: TaskID, job: dict[str, Any]) -> None:
    left = "" if job["eta"] is None else f", {job['eta']:.0f} s left"
    bad = f", {job['bad_records']:,} bad" if job["bad_records"] else ""
    said = f"{job['records']:,} records{bad}, {job['objects_done']} of {job['objects']} objects{left}"
    if job["waiting"]:
        said = f"waiting: {job['waiting']}"
    bar.update(task, total=job["bytes"] or None, completed=job["bytes_done"], said=said)


def _describe_job(job: dict[str, Any]) -> str:
    bad = f", {job['bad_records']:,} of them bad" if job["bad_records"] else ""
    return (
        f"{job['job']}: {job['status']}, {job['records']:,} records{bad},"
        f" {job['objects_done']} of {job['objects']} objects in {job['seconds']:.1f} s, to {job['output']}"
    )
