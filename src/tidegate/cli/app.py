"""Registers all commands and reports errors: one line on stderr, exit status 1."""

import sys
from typing import Annotated

import typer

from tidegate import __version__
from tidegate.cli import (
    backup,
    batch,
    cost,
    deploy,
    inspect,
    plan,
    platform,
    price_list,
    promise,
    queue,
    recommend,
    rehearse,
    replay,
    rollout,
    scaling,
    simulate,
)
from tidegate.domain.errors import TidegateError

app = typer.Typer(
    name="tidegate",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Deploy a trained model, shift live traffic to its next version step by step, and roll back automatically. "
    "TIDEGATE_URL says where the server is (http://127.0.0.1:8471 unless set).",
    epilog="Exit status: 0 success, 1 failure, with the reason on stderr, 2 wrong usage.",
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"tidegate {__version__}")
        raise typer.Exit


for command in (
    platform.up,
    platform.down,
    plan.plan,
    deploy.deploy,
    inspect.status,
    deploy.invoke,
    batch.batch,
    queue.queue,
    scaling.scaling,
    inspect.logs,
    inspect.shadow,
    inspect.models,
    inspect.alarms,
    replay.replay,
    recommend.recommend,
    deploy.delete,
    cost.cost,
    backup.backup,
    backup.restore,
    inspect.version,
    inspect.schema,
):
    app.command()(command)
app.command("invoke-async")(queue.invoke_async)
app.command("simulate")(simulate.simulate_spec)
app.command("promise")(promise.promise_spec)
app.command("rehearse")(rehearse.rehearse_spec)
app.add_typer(rollout.app, name="rollout")
app.add_typer(price_list.app, name="prices")
app.add_typer(replay.app, name="trace")


@app.callback()
def global_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version of this command.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options before any command."""


def main() -> None:
    try:
        app()
    except TidegateError as error:
        print(f"tidegate: {error.message}", file=sys.stderr)
        raise SystemExit(1) from None
