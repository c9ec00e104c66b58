"""``demo``: a good rollout and two bad ones on this machine, on a server of its own."""

import json
import signal
import time

import typer
from rich.console import Console

from tidegate.cli.output import AsJson, console
from tidegate.domain.errors import Invalid
from tidegate.host.late_import import load_module

STORY = "tidegate.features.examples.demo.story"
PACKAGES = ("boto3", "numpy", "xgboost")


def demo(as_json: AsJson = False) -> None:
    """Watch a good rollout and two bad ones, in a minute.

    Trains two small models, starts a server of its own on a free port of this machine, sends it 150 requests a
    second, and rolls out a better version, one that fails and one that is slow. Alarms roll the bad ones back. It
    leaves no process and no file. The exit status is 1 if a rollout ended in another way.

    \b
    Example:
      tidegate demo
    """
    try:
        story = load_module(STORY)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in PACKAGES:
            raise
        raise Invalid(
            f"the demo needs a package that is not installed ({missing.name}): pip install 'tidegate[demo]'"
        ) from None
    for ending in (signal.SIGTERM, signal.SIGHUP):  # what it started is stopped, as by Ctrl-C
        signal.signal(ending, signal.default_int_handler)
    screen = Console(quiet=True) if as_json else console()
    began = time.monotonic()
    try:
        seen = story.run(screen)
    except KeyboardInterrupt:
        screen.print("\nstopped; nothing is left running")
        raise typer.Exit(130) from None
    problems: list[str] = story.check(seen)
    if as_json:
        print(json.dumps(story.document(seen, problems)))
    else:
        story.print_result(screen, seen)
        for problem in problems:
            screen.print(f"NOT AS IT SHOULD BE: {problem}", style="bold red")
        if not problems:
            took = time.monotonic() - began
            screen.print(f"All as it should be, in {took:.0f} s. Nothing is left running.", style="bold green")
    if problems:
        raise typer.Exit(1)
