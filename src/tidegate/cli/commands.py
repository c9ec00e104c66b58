"""Every command: its name, where it is, and its line of help; and the one place of the commands that imports late.

``tidegate --help`` and shell completion need only this table. The module of a command is imported when the command
runs or its own help is asked for, so a command pays for what it uses and for nothing else. ``load`` does the same for
the few libraries that only some calls of a command need (botocore signs requests only where there are keys).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand

from tidegate.cli.plain_parameters import PlainCommand, PlainGroup
from tidegate.host.late_import import load


class CommandEntry(NamedTuple):
    """``attribute`` of ``module`` (in ``tidegate.cli``) is the function of a command, or the Typer of a group.
    ``help`` is the first line of its docstring, 60 characters at most, so that it fits 80 columns."""

    name: str
    module: str
    attribute: str
    help: str


TASKS: Mapping[str, tuple[CommandEntry, ...]] = {
    "Deploy and serve": (
        CommandEntry("init", "init", "init", "Write a spec file for a model, by asking."),
        CommandEntry("explain", "explain", "explain", "Explain a key of spec files, such as rollout.wait."),
        CommandEntry("examples", "examples", "app", "Deploy a model that comes with tidegate."),
        CommandEntry("validate", "validate", "validate", "Check a spec file; nothing is deployed."),
        CommandEntry("diff", "diff", "diff", "Show what deploying a spec file would change."),
        CommandEntry("deploy", "deploy", "deploy", "Create an endpoint from a spec file, or update it."),
        CommandEntry("render", "render", "render", "Print what a target would create for a spec."),
        CommandEntry("invoke", "invoke", "invoke", "Ask an endpoint for a prediction."),
        CommandEntry("direct", "direct", "app", "Deploy to a target that shifts the traffic itself."),
        CommandEntry("delete", "deploy", "delete", "Delete an endpoint, once its requests are finished."),
    ),
    "Rollouts": (
        CommandEntry("rollout", "rollout", "app", "Watch and control the rollout of a new version."),
        CommandEntry("evidence", "evidence", "app", "Show what a rollout's comparison of versions found."),
        CommandEntry("compare", "compare", "compare", "Compare two versions on the same rows, without traffic."),
        CommandEntry("shadow", "shadow", "shadow", "Compare a shadow variant with its production variant."),
    ),
    "Look": (
        CommandEntry("list", "inspect", "list_endpoints", "List the endpoints."),
        CommandEntry("status", "inspect", "status", "Show all endpoints, or one in detail."),
        CommandEntry("events", "events", "events", "Show what happened to an endpoint, and follow it."),
        CommandEntry("logs", "logs", "logs", "Show the output of an endpoint's replicas."),
        CommandEntry("alarms", "alarms", "alarms", "List the alarms: state, condition and reason."),
        CommandEntry("scaling", "scaling", "scaling", "Show what is scaled, by which rules, and why."),
        CommandEntry("models", "inspect", "models", "Show the loaded models of a multi-model endpoint."),
        CommandEntry("capture", "capture", "capture", "Show what data capture wrote, and what it dropped."),
        CommandEntry("labels", "labels", "labels", "Measure predictions by labels that came later."),
        CommandEntry("label-terms", "label_terms", "label_terms", "Change how labels and answers are read."),
        CommandEntry("feedback", "feedback", "feedback", "Post what people think of answers, and show it."),
        CommandEntry("drift", "drift", "drift", "Compare captured requests with a baseline."),
        CommandEntry("monitor", "monitor", "app", "Watch an endpoint's captured requests for drift."),
        CommandEntry("open", "console_link", "open_console", "Open the console in the browser."),
    ),
    "Plan and price": (
        CommandEntry("plan", "plan", "plan", "Plan a deployment, each choice with its reason."),
        CommandEntry("cost", "cost", "cost", "Price a deployment over a year of traffic."),
        CommandEntry("prices", "price_list", "app", "List the catalogue of prices, or update it."),
        CommandEntry("recommend", "recommend", "recommend", "Find the cheapest configuration, by load tests."),
        CommandEntry("simulate", "simulate", "simulate_spec", "Show what a spec's rollout would do, and when."),
        CommandEntry("promise", "promise", "promise_spec", "Compute what a spec's rollout can detect."),
        CommandEntry(
            "rehearse", "rehearse", "rehearse_spec", "Rehearse a rollout with a bad version, many times."
        ),
    ),
    "Jobs and load": (
        CommandEntry("batch", "batch", "batch", "Run a model over files: no endpoint is needed."),
        CommandEntry("invoke-async", "queue", "invoke_async", "Queue a request on an asynchronous endpoint."),
        CommandEntry("queue", "queue", "queue", "Show the queue of an asynchronous endpoint."),
        CommandEntry("replay", "replay", "replay", "Send a trace to an endpoint and report the answers."),
        CommandEntry("trace", "replay", "app", "Make a trace to replay."),
    ),
    "Server": (
        CommandEntry("up", "platform", "up", "Start the platform on this machine."),
        CommandEntry("down", "platform", "down", "Drain everything and stop the platform."),
        CommandEntry("doctor", "doctor", "doctor", "Check access, permissions and quotas of a target."),
        CommandEntry("uninstall", "uninstall", "uninstall", "Remove what tidegate left on a target."),
        CommandEntry("user", "users", "app", "Manage who may sign in, and their roles."),
        CommandEntry("token", "tokens", "app", "Manage API tokens, which act for a user."),
        CommandEntry("audit", "audit", "audit", "Show who changed what, when, from where and why."),
        CommandEntry("backup", "backup", "backup", "Write all that the platform knows into one file."),
        CommandEntry("restore", "backup", "restore", "Restore a backup file, completely or not at all."),
        CommandEntry("challenge", "challenge", "app", "Run the console's live challenges on the server."),
        CommandEntry("version", "about", "version", "Show the version of this command and of the server."),
        CommandEntry("schema", "schema", "schema", "Print the JSON Schema of spec files."),
    ),
}
ALIASES = {"ls": "list"}


class DeferredCommand(TyperCommand):
    """A command that is imported when it runs. Until then it has a name and a line of help."""

    def __init__(self, entry: CommandEntry) -> None:
        super().__init__(name=entry.name, help=entry.help, callback=None, params=[], rich_markup_mode=None)
        self.entry = entry

    def resolve(self) -> Any:
        """The command itself, or the group."""
        found = load(f"tidegate.cli.{self.entry.module}", self.entry.attribute)
        if isinstance(found, typer.Typer):
            for inner in found.registered_commands:
                inner.cls = PlainCommand
            group = typer.main.get_group(found)
            group.name = self.entry.name
            return group
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command(self.entry.name, cls=PlainCommand)(found)
        return typer.main.get_command(app)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        return self.resolve().make_context(*arguments, **options)


class TaskGroup(PlainGroup):
    """The commands of ``TASKS``, grouped by task in the help."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        entries = [entry for task in TASKS.values() for entry in task]
        self.commands = {entry.name: DeferredCommand(entry) for entry in entries}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = {name: f"{name}, {alias}" for alias, name in ALIASES.items()}
        widest = max(len(names.get(name, name)) for name in self.commands)
        for task, entries in TASKS.items():
            with formatter.section(task):
                # Names padded, since each section would have a width of its own.
                formatter.write_dl([(names.get(one.name, one.name).ljust(widest), one.help) for one in entries])
