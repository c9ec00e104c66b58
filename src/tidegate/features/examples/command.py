"""``examples``: models to deploy and to break, each with a better version and one that is silently worse."""

import json
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli.client import ApiClient, ServerError
from tidegate.cli.deploy import deploy
from tidegate.cli.output import AsJson, client, console, print_note, user_name
from tidegate.cli.plain_parameters import PlainGroup
from tidegate.cli.progress import ProgressBar
from tidegate.cli.tables import Table, key, number, secondary, sentence
from tidegate.domain.errors import Invalid
from tidegate.features.batch.command import batch
from tidegate.features.examples.catalogue import EXAMPLES, Example, find_example
from tidegate.features.examples.contract import VERSIONS
from tidegate.features.examples.folder import (
    CARD,
    TAG,
    check_server,
    is_batch,
    is_example,
    load_builder,
    make_example,
    read_requests,
    read_summary,
)
from tidegate.load import LoadGenerator, Payload
from tidegate.load.report import document
from tidegate.prices import Catalogue, price_folder
from tidegate.settings import Settings

app = typer.Typer(
    cls=PlainGroup, no_args_is_help=True, rich_markup_mode=None, help="Deploy a model that comes with tidegate."
)


def complete_example(incomplete: str) -> list[str]:
    """Names of examples that begin so, for the shell."""
    return [one.name for one in EXAMPLES if one.name.startswith(incomplete)]


ExampleName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="Name of the example.", show_default=False, autocompletion=complete_example
    ),
]
Folder = Annotated[Path, typer.Option("--folder", help="Where examples are trained and kept.")]
HERE = Path("tidegate-examples")
ASYNC = "async-invocations"
PREFIX = "X-Amzn-SageMaker-"


@app.command("list")
def list_examples(as_json: AsJson = False) -> None:
    """List the examples.

    \b
    Example:
      tidegate examples list
    """
    if as_json:
        shown = [
            {"name": one.name, "title": one.title, "shows": one.shows, "extra": one.extra} for one in EXAMPLES
        ]
        print(json.dumps({"examples": shown}))
        return
    table = Table(key("NAME"), secondary("NEEDS"), sentence("SHOWS"))
    for one in EXAMPLES:
        table.add_row(one.name, f"tidegate[{one.extra}]", f"{one.title}: {one.shows}")
    console().print(table)


@app.command()
def up(
    name: ExampleName,
    *,
    version: Annotated[str, typer.Option(help=f"One of {', '.join(VERSIONS)}.")] = "v1",
    speed: Annotated[float, typer.Option(help="Divide the times of rollout and alarms by this.")] = 1.0,
    scale: Annotated[float, typer.Option(help="Part of the training data, for a quick look.")] = 1.0,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the rollout; fail if it rolls back.")] = False,
    train_only: Annotated[bool, typer.Option("--train-only", help="Write its files and deploy nothing.")] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Train an example and deploy one of its versions.

    It is trained once; its card says how good each version is. A batch example runs as a job.

    \b
    Examples:
      tidegate examples up payroll-fraud --wait
      tidegate examples up payroll-fraud --version better --speed 60 --wait
      tidegate examples up client-attrition --scale 0.1
    """
    example = find_example(name)
    if version not in VERSIONS:
        raise Invalid(f"version {version!r}: expected one of {', '.join(VERSIONS)}")
    where = folder / name
    if not (0 < scale <= 1):
        raise Invalid(f"scale {scale:g}: expected more than 0, and 1 at the most")
    settings = Settings.from_environment(os.environ)
    prices = Catalogue.load(price_folder(settings.prices, settings.state))
    if not is_example(example, where):
        load_builder(example)
    if not train_only:
        _check_server(example, name)
    outputs = settings.output_roots[0] if settings.output_roots else settings.state / "outputs"
    with ProgressBar(f"training {name}", quiet=as_json):
        make_example(example, where, prices, speed=speed, scale=scale, outputs=outputs)
    if not as_json:
        _show_versions(where)
    if train_only:
        if as_json:
            print(json.dumps(read_summary(where)))
        return
    spec = where / f"{version}.yaml"
    if is_batch(example, prices):
        scores = where / f"{version}-scores"
        batch([str(spec), str(where / read_summary(where)["inputs"]), str(scores)], join=True, as_json=as_json)
    else:
        deploy(spec, wait=wait, as_json=as_json)
        print_note(f"next: tidegate examples traffic {name}; tidegate status {name}; tidegate show console {name}")


@app.command()
def traffic(
    name: ExampleName,
    rate: Annotated[float, typer.Option(help="Requests per second.")] = 50.0,
    seconds: Annotated[float, typer.Option(help="How long.")] = 60.0,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="ENDPOINT", help="Another endpoint than that of the example's name.", show_default=False
        ),
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Send an example's requests to its endpoint, at a constant rate.

    Ctrl-C or SIGTERM end it, with the report. The exit status is 3 if some requests failed.

    \b
    Example:
      tidegate examples traffic payroll-fraud --rate 100 --seconds 300
    """
    example, where = find_example(name), folder / name
    if not is_example(example, where):
        raise Invalid(f"example {name} is not trained in {folder}: tidegate examples up {name}")
    requests, kind, path = _load(where)
    asked = endpoint or example.name
    with client() as server:
        server.endpoint(asked)
        if server.make_signer(asked, kind) is not None:
            raise Invalid("examples traffic cannot sign requests: use a server without access keys")
        generator = LoadGenerator(server.url, f"/endpoints/{asked}/{path}", requests, kind, rate)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C
    with generator, suppress(KeyboardInterrupt), ProgressBar(f"asking {asked}", seconds, quiet=as_json) as bar:
        _send_for(generator, seconds, bar)
    report = generator.stop()
    if as_json:
        print(json.dumps(document(report)))
    else:
        table = Table(key("VERSION"), number("ANSWERED"), number("FAILED"), number("P50"), number("P99"))
        for config, tally in report.by_config.items():
            shown = [tally.percentile(percent) for percent in (50, 99)]
            times = ["-" if one is None else f"{one * 1000:.1f} ms" for one in shown]
            table.add_row(config or "-", f"{tally.count:,}", f"{tally.failed:,}", *times)
        console().print(table)
    if report.failed:
        raise typer.Exit(3)


@app.command()
def down(
    name: ExampleName,
    files: Annotated[bool, typer.Option("--files", help="Remove what was trained, too.")] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Delete an example's endpoint.

    \b
    Example:
      tidegate examples down payroll-fraud
    """
    example = find_example(name)
    with client() as server:
        deleted = _refuse_other(server, name)
        if deleted:
            server.delete(name, user_name(), force=True)
        with ProgressBar(f"finishing the requests of {name}", quiet=as_json):
            while deleted and any(one["name"] == name for one in server.endpoints()):
                time.sleep(0.2)
    if files:
        _remove(example, folder)
    said = f'endpoint "{name}" is deleted' if deleted else f'there is no endpoint "{name}"'
    print(json.dumps({"name": name, "deleted": deleted}) if as_json else said)


def _check_server(example: Example, name: str) -> None:
    """Check before training what would stop the deployment after it."""
    with client() as server:
        check_server(example, server.version().get("trust") or ())
        _refuse_other(server, name)


def _send_for(generator: LoadGenerator, seconds: float, bar: ProgressBar) -> None:
    if not bar.active:
        time.sleep(seconds)
        return
    began = time.monotonic()
    while (gone := time.monotonic() - began) < seconds:
        time.sleep(min(1.0, seconds - gone))
        now = generator.snapshot()
        bar.update(time.monotonic() - began, f"{now.sent:,} requests sent, {now.failed:,} failed")


def _load(where: Path) -> tuple[list[Payload], dict[str, str], str]:
    """Payloads, headers of all of them, and the end of their path. Requests whose body is a file are asynchronous and
    name its address."""
    given = read_requests(where)
    if not given[0].file:
        kind = {"Content-Type": given[0].content_type}
        return [Payload(one.body.encode(), dict(one.headers)) for one in given], kind, "invocations"
    places = [{f"{PREFIX}InputLocation": (where / one.file).absolute().as_uri()} for one in given]
    kind = {f"{PREFIX}Content-Type": given[0].content_type}
    return [Payload(b"", {**one.headers, **place}) for one, place in zip(given, places, strict=True)], kind, ASYNC


def _refuse_other(server: ApiClient, name: str) -> bool:
    """Whether there is an endpoint of this name. Raises Invalid if it is not the example's."""
    try:
        server.endpoint(name)
        arn = str(server.describe("DescribeEndpoint", EndpointName=name)["EndpointArn"])
    except ServerError as error:
        if error.status == 404:
            return False
        raise
    if not any(tag["Key"] == TAG for tag in server.describe("ListTags", ResourceArn=arn)["Tags"]):
        raise Invalid(
            f"endpoint \"{name}\" was not deployed by 'tidegate examples up': nothing is done; "
            f"'tidegate delete {name}' deletes it"
        )
    return True


def _remove(example: Example, folder: Path) -> None:
    """Only what an example wrote: a folder of that name without its summary is not one."""
    where = folder / example.name
    if where.exists() and not is_example(example, where):
        raise Invalid(f"{where} is not the folder of an example: nothing is removed")
    shutil.rmtree(where, ignore_errors=True)


def _show_versions(where: Path) -> None:
    summary: dict[str, Any] = read_summary(where)
    table = Table(key("VERSION"), number(summary["measure"].upper()), sentence("WHAT IT IS"))
    for version, one in summary["versions"].items():
        table.add_row(version, f"{one['quality'][summary['measure']]:.3f}", one["about"])
    console().print(table)
    print_note(f"measured on {summary['rows']}; {where / CARD} has more")
