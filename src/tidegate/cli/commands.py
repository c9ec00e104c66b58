"""Every command: its name, where it is, and its line of help; and the one place of the commands that imports late.

``tidegate --help`` and shell completion need only this table. The module of a command is imported when the command
runs or its own help is asked for, so a command pays for what it uses and for nothing else. ``load`` does the same for
the few libraries that only some calls of a command need (botocore signs requests only where there are keys).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import typer
from typer.core import TyperCommand

from tidegate.cli.plain_parameters import PlainCommand, PlainGroup
from tidegate.domain.errors import Invalid
from tidegate.domain.feature import CommandEntry
from tidegate.host.features import describe_switched_off, features, load_reference

CORE: Mapping[str, tuple[CommandEntry, ...]] = {
    "Deploy and serve": (
        CommandEntry("init", "tidegate.cli.init:init", "Write a spec file for a model, by asking."),
        CommandEntry(
            "explain", "tidegate.cli.explain:explain", "Explain a key of spec files, such as rollout.wait."
        ),
        CommandEntry("validate", "tidegate.cli.validate:validate", "Check a spec file; nothing is deployed."),
        CommandEntry("diff", "tidegate.cli.diff:diff", "Show what deploying a spec file would change."),
        CommandEntry("deploy", "tidegate.cli.deploy:deploy", "Create an endpoint from a spec file, or update it."),
        CommandEntry("render", "tidegate.cli.render:render", "Print what a target would create for a spec."),
        CommandEntry("invoke", "tidegate.cli.invoke:invoke", "Ask an endpoint for a prediction."),
        CommandEntry("direct", "tidegate.cli.direct:app", "Deploy to a target that shifts the traffic itself."),
        CommandEntry(
            "delete", "tidegate.cli.deploy:delete", "Delete an endpoint, once its requests are finished."
        ),
    ),
    "Rollouts": (
        CommandEntry("rollout", "tidegate.cli.rollout:app", "Watch and control the rollout of a new version."),
    ),
    "Look": (
        CommandEntry("list", "tidegate.cli.inspect:list_endpoints", "List the endpoints."),
        CommandEntry("status", "tidegate.cli.inspect:status", "Show all endpoints, or one in detail."),
        CommandEntry("events", "tidegate.cli.events:events", "Show what happened to an endpoint, and follow it."),
        CommandEntry("logs", "tidegate.cli.logs:logs", "Show the output of an endpoint's replicas."),
        CommandEntry("alarms", "tidegate.cli.alarms:alarms", "List the alarms: state, condition and reason."),
        CommandEntry("models", "tidegate.cli.inspect:models", "Show the loaded models of a multi-model endpoint."),
        CommandEntry("open", "tidegate.cli.console_link:open_console", "Open the console in the browser."),
    ),
    "Plan and price": (),
    "Jobs and load": (),
    "Server": (
        CommandEntry("up", "tidegate.cli.platform:up", "Start the platform on this machine."),
        CommandEntry("down", "tidegate.cli.platform:down", "Drain everything and stop the platform."),
        CommandEntry("doctor", "tidegate.cli.doctor:doctor", "Check access, permissions and quotas of a target."),
        CommandEntry("uninstall", "tidegate.cli.uninstall:uninstall", "Remove what tidegate left on a target."),
        CommandEntry("backup", "tidegate.cli.backup:backup", "Write all that the platform knows into one file."),
        CommandEntry("restore", "tidegate.cli.backup:restore", "Restore a backup file, completely or not at all."),
        CommandEntry(
            "version", "tidegate.cli.about:version", "Show the version of this command and of the server."
        ),
        CommandEntry("schema", "tidegate.cli.schema:schema", "Print the JSON Schema of spec files."),
    ),
}
"""By task, in the order of the help."""


def list_tasks() -> dict[str, tuple[CommandEntry, ...]]:
    """All commands by task: those of the core, then those of the features that are on."""
    found = dict(CORE)
    for one in features():
        for entry in one.feature.commands:
            there = replace(entry, reference=one.resolve(entry.reference))
            found[entry.task] = (*found.get(entry.task, ()), there)
    return found


TASKS: Mapping[str, tuple[CommandEntry, ...]] = list_tasks()
ALIASES = {"ls": "list"}


class DeferredCommand(TyperCommand):
    """A command that is imported when it runs. Until then it has a name and a line of help."""

    def __init__(self, entry: CommandEntry) -> None:
        super().__init__(name=entry.name, help=entry.help, callback=None, params=[], rich_markup_mode=None)
        self.entry = entry

    def resolve(self) -> Any:
        """The command itself, or the group."""
        found = load_reference(self.entry.reference)
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
        for one in features().switched_off:
            if any(entry.name == cmd_name for entry in one.feature.commands):
                raise Invalid(f"{cmd_name}: {describe_switched_off(one.feature.name)}")
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = {name: f"{name}, {alias}" for alias, name in ALIASES.items()}
        widest = max(len(names.get(name, name)) for name in self.commands)
        for task, entries in TASKS.items():
            with formatter.section(task):
                # Names padded, since each section would have a width of its own.
                formatter.write_dl([(names.get(one.name, one.name).ljust(widest), one.help) for one in entries])
