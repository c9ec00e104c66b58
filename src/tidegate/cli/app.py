"""The commands in one place, and how an error reaches a person: one line on stderr, exit status 1."""

import sys
from typing import Annotated

import typer

from tidegate import __version__
from tidegate.cli import (
    backing_up,
    batch,
    costing,
    deploying,
    looking,
    planning,
    platform,
    price_list,
    promising,
    queueing,
    recommending,
    rehearsing,
    replaying,
    rollouts,
    scaling,
    simulating,
)
from tidegate.model.errors import TidegateError

app = typer.Typer(
    name="tidegate",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Deploy a trained model, shift live traffic to its next version step by step, and roll back by itself. "
    "TIDEGATE_URL says where the server is (http://127.0.0.1:8471 unless set).",
    epilog="Exit status: 0 well, 1 not, with the reason on stderr, 2 wrong usage.",
)


def _version(asked: bool) -> None:
    if asked:
        print(f"tidegate {__version__}")
        raise typer.Exit


for command in (
    platform.up,
    platform.down,
    planning.plan,
    deploying.deploy,
    looking.status,
    deploying.invoke,
    batch.batch,
    queueing.queue,
    scaling.scaling,
    looking.logs,
    looking.shadow,
    looking.models,
    looking.alarms,
    replaying.replay,
    recommending.recommend,
    deploying.delete,
    costing.cost,
    price_list.prices,
    backing_up.backup,
    backing_up.restore,
    looking.version,
    looking.schema,
):
    app.command()(command)
app.command("invoke-async")(queueing.invoke_async)
app.command("simulate")(simulating.simulate_spec)
app.command("promise")(promising.promise_spec)
app.command("rehearse")(rehearsing.rehearse_spec)
app.add_typer(rollouts.app, name="rollout")
app.add_typer(replaying.app, name="trace")


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version of this command.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """What can be said before any command."""


def main() -> None:
    try:
        app()
    except TidegateError as error:
        print(f"tidegate: {error.message}", file=sys.stderr)
        raise SystemExit(1) from None
