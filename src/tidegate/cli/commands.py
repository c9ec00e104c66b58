"""Every command: its name, where it is, and its line of help; and the one place of the commands that imports late.

``tidegate --help`` and shell completion need only this table. The module of a command is imported when the command
runs or its own help is asked for, so a command pays for what it uses and for nothing else. ``load`` does the same for
the few libraries that only some calls of a command need (botocore signs requests only where there are keys).
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import typer
from typer.core import TyperCommand

from tidegate.cli.plain_parameters import PlainCommand, PlainGroup
from tidegate.domain.errors import Invalid
from tidegate.domain.feature import CommandEntry
from tidegate.host.features import describe_switched_off, features, load_reference

FORMER_NAMES: Mapping[str, str] = {
    "alarms": "show alarms",
    "audit": "access audit",
    "backup": "server backup",
    "capture": "show capture",
    "challenge": "learn",
    "cost": "cost estimate",
    "doctor": "target doctor",
    "drift": "drift check",
    "evidence": "rollout evidence",
    "explain": "spec explain",
    "feedback": "labels feedback",
    "init": "spec init",
    "invoke-async": "queue send",
    "label-terms": "labels terms",
    "labels": "labels measure",
    "list": "status",
    "models": "show models",
    "monitor": "drift schedule",
    "open": "show console",
    "prices": "cost prices",
    "promise": "rehearse --only detection",
    "queue": "queue show",
    "render": "spec render",
    "replay": "replay run",
    "restore": "server restore",
    "scaling": "show scaling",
    "schema": "spec schema",
    "shadow": "compare --shadow",
    "simulate": "rehearse --only timeline",
    "token": "access token",
    "trace": "replay trace",
    "uninstall": "target uninstall",
    "user": "access user",
    "validate": "spec validate",
    "version": "server version",
}
"""Former name -> the words in its place. A name that leads to itself is a group today and was a command.
Former names work for one release; then this table is emptied, and its tests go with it."""


CORE: Mapping[str, tuple[CommandEntry, ...]] = {
    "Deploy and serve": (
        CommandEntry("spec", "", "Write, check, explain and compare spec files."),
        CommandEntry("spec init", "tidegate.cli.init:init", "Write a spec file for a model, by asking."),
        CommandEntry(
            "spec explain", "tidegate.cli.explain:explain", "Explain a key of spec files, such as rollout.wait."
        ),
        CommandEntry("spec validate", "tidegate.cli.validate:validate", "Check a spec file; nothing is deployed."),
        CommandEntry("spec diff", "tidegate.cli.diff:diff", "Show what deploying a spec file would change."),
        CommandEntry("spec render", "tidegate.cli.render:render", "Print what a target would create for a spec."),
        CommandEntry("spec schema", "tidegate.cli.documents:schema", "Print the JSON Schema of spec files."),
        CommandEntry("deploy", "tidegate.cli.deploy:deploy", "Create an endpoint from a spec file, or update it."),
        CommandEntry(
            "apply", "tidegate.cli.apply:apply", "Bring the endpoints of a folder to what its files say."
        ),
        CommandEntry("diff", "tidegate.cli.diff:diff_folder", "Show what applying a folder would change."),
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
        CommandEntry("status", "tidegate.cli.inspect:status", "List all endpoints, or show one in detail."),
        CommandEntry("show", "", "Show one part: alarms, scaling, models, captures."),
        CommandEntry("show alarms", "tidegate.cli.alarms:alarms", "List the alarms: state, condition and reason."),
        CommandEntry(
            "show models", "tidegate.cli.inspect:models", "Show the loaded models of a multi-model endpoint."
        ),
        CommandEntry("show console", "tidegate.cli.console_link:open_console", "Open the console in the browser."),
        CommandEntry("events", "tidegate.cli.events:events", "Show what happened to an endpoint, and follow it."),
        CommandEntry("logs", "tidegate.cli.logs:logs", "Show the output of an endpoint's replicas."),
    ),
    "Plan and price": (),
    "Jobs and load": (),
    "Server": (
        CommandEntry("up", "tidegate.cli.platform:up", "Start the platform on this machine."),
        CommandEntry("down", "tidegate.cli.platform:down", "Drain everything and stop the platform."),
        CommandEntry("server", "", "Back up, restore and identify the platform."),
        CommandEntry(
            "server backup", "tidegate.cli.backup:backup", "Write all that the platform knows into one file."
        ),
        CommandEntry(
            "server restore", "tidegate.cli.backup:restore", "Restore a backup file, completely or not at all."
        ),
        CommandEntry(
            "server version", "tidegate.cli.about:version", "Show the version of this command and of the server."
        ),
        CommandEntry("target", "", "Check a target, or remove tidegate from it."),
        CommandEntry(
            "target doctor", "tidegate.cli.doctor:doctor", "Check access, permissions and quotas of a target."
        ),
        CommandEntry(
            "target uninstall", "tidegate.cli.doctor:uninstall", "Remove what tidegate left on a target."
        ),
    ),
}
"""By task, in the order of the help."""


def list_entries() -> Iterator[tuple[str, CommandEntry]]:
    """All commands with their task: those of the core, then those of the features that are on."""
    for task, entries in CORE.items():
        yield from ((task, entry) for entry in entries)
    for one in features():
        for entry in one.feature.commands:
            yield entry.task, replace(entry, reference=one.resolve(entry.reference))


def list_tasks(entries: Iterable[tuple[str, CommandEntry]]) -> dict[str, tuple[CommandEntry, ...]]:
    """The commands of the first level by task, in the order of the help."""
    found: dict[str, tuple[CommandEntry, ...]] = dict.fromkeys(CORE, ())
    for task, entry in entries:
        if " " not in entry.name:
            found[task] = (*found.get(task, ()), entry)
    return found


def list_members(entries: Iterable[tuple[str, CommandEntry]]) -> dict[str, tuple[CommandEntry, ...]]:
    """The commands of each group that others than its own module add, by the name of the group."""
    found: dict[str, tuple[CommandEntry, ...]] = {}
    for _, entry in entries:
        group, _, name = entry.name.partition(" ")
        if name:
            found[group] = (*found.get(group, ()), replace(entry, name=name))
    return found


def list_member_names() -> dict[str, frozenset[str]]:
    """The names of these commands, also of features that are off, by the name of the group."""
    names = [entry.name for entries in CORE.values() for entry in entries]
    names += [entry.name for one in features().installed.values() for entry in one.feature.commands]
    pairs = [name.split() for name in names if " " in name]
    return {group: frozenset(member for of, member in pairs if of == group) for group, _ in pairs}


ENTRIES = tuple(list_entries())
TASKS: Mapping[str, tuple[CommandEntry, ...]] = list_tasks(ENTRIES)
MEMBERS: Mapping[str, tuple[CommandEntry, ...]] = list_members(ENTRIES)
MEMBER_NAMES: Mapping[str, frozenset[str]] = list_member_names()
ALIASES = {"ls": "status"}
START_HERE = (
    ("up --detach", "Start the platform on this machine."),
    ("spec init MODEL", "Write a spec file for your model."),
    ("deploy SPEC --wait", "Deploy it; again, to roll out a new version."),
    ("invoke ENDPOINT", "Ask for a prediction: --body or --file."),
    ("rollout undo ENDPOINT", "Go back to the last good version."),
)
"""The first commands of a new user, in their order, for the top of the help."""


class DeferredCommand(TyperCommand):
    """A command that is imported when it runs. Until then it has a name and a line of help."""

    def __init__(self, entry: CommandEntry, group: str = "") -> None:
        super().__init__(name=entry.name, help=entry.help, callback=None, params=[], rich_markup_mode=None)
        self.entry = entry
        self.group = group

    def resolve(self) -> Any:
        """The command itself, or the group."""
        if not self.group and self.entry.name in MEMBER_NAMES:
            return _EntryGroup(self.entry, MEMBERS.get(self.entry.name, ()))
        found = load_reference(self.entry.reference)
        if isinstance(found, typer.Typer):
            return _make_group(self.entry.name, found)
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command(self.entry.name, cls=PlainCommand)(found)
        return typer.main.get_command(app)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        return self.resolve().make_context(*arguments, **options)


def _make_group(name: str, app: typer.Typer) -> Any:
    for inner in app.registered_commands:
        inner.cls = PlainCommand
    group = typer.main.get_group(app)
    group.name = name
    return group


class _EntryGroup(PlainGroup):
    """A group of commands that are imported when they run. ``members`` come after those of the group's own
    application, if its entry refers to one."""

    def __init__(self, entry: CommandEntry, members: Iterable[CommandEntry]) -> None:
        own = {}
        if entry.reference:
            own = _make_group(entry.name, load_reference(entry.reference)).commands
        super().__init__(
            name=entry.name,
            commands=own | {one.name: DeferredCommand(one, entry.name) for one in members},
            help=entry.help,
            no_args_is_help=True,
            rich_markup_mode=None,
        )

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        refuse_switched_off(f"{self.name} {cmd_name}")
        return super().get_command(ctx, cmd_name)


def refuse_switched_off(name: str) -> None:
    """Raises Invalid for a command of a feature that is off."""
    for one in features().switched_off:
        if any(entry.name == name for entry in one.feature.commands):
            raise Invalid(f"{name}: {describe_switched_off(one.feature.name)}")


class TaskGroup(PlainGroup):
    """The commands of ``TASKS``, grouped by task in the help."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        entries = [entry for task in TASKS.values() for entry in task]
        self.commands = {entry.name: DeferredCommand(entry) for entry in entries}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if ctx.resilient_parsing else replace_former_name(args))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        refuse_switched_off(cmd_name)
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        super().format_help_text(ctx, formatter)
        with formatter.section("Start here"):
            formatter.write_dl([(f"{self.name} {words}", text) for words, text in START_HERE])

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = {name: f"{name}, {alias}" for alias, name in ALIASES.items()}
        widest = max(len(names.get(name, name)) for name in self.commands)
        for task, entries in TASKS.items():
            with formatter.section(task):
                # Names padded, since each section would have a width of its own.
                formatter.write_dl([(names.get(one.name, one.name).ljust(widest), one.help) for one in entries])


def replace_former_name(words: list[str]) -> list[str]:
    """The command line with the new name of its command, and a hint on stderr if it had the former one. A name that
    is a group today was its command unless one of the group's follows it."""
    name, *rest = words
    if name not in FORMER_NAMES:
        return words
    new = FORMER_NAMES[name].split()
    if name == new[0] and (not rest or rest[0] in {"--help", *MEMBER_NAMES[name]}):
        return words
    print(
        f"tidegate: {name} is now: tidegate {' '.join(new)} (the old name ends with the next release)",
        file=sys.stderr,
    )
    return [*new, *rest]
