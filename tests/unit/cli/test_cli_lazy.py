"""Commands import what they use: the table of commands is true, and help needs nothing else."""

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.unit.cli.stub_server import API, endpoint_document, found, stub
from tidegate.cli.app import app
from tidegate.cli.commands import (
    ALIASES,
    ENTRIES,
    FORMER_NAMES,
    MEMBERS,
    TASKS,
    DeferredCommand,
    replace_former_name,
)
from tidegate.cli.plain_parameters import PlainReader
from tidegate.domain.feature import CommandEntry

FRAUD = str(Path(__file__).parents[3] / "examples" / "fraud.yaml")
TOP = [entry for task in TASKS.values() for entry in task]
MOST_COMMANDS = 30
"""Of the first level, which a person can survey."""
MOST_MODULES = 221
"""Of ``tidegate --help``: Typer and Python's own are most, and the manifests of features, two modules each. An
installed version adds the module that names it."""
HEAVY = ("rich", "pydantic", "httpx", "botocore", "asyncio", "msgspec", "yaml", "sqlalchemy", "numpy")


def modules(*arguments: str, **environment: str) -> set[str]:
    """What is imported once a command has run."""
    program = (
        "import sys, json\n"
        "from tidegate.cli import main\n"
        f"sys.argv = ['tidegate', *{list(arguments)!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_help_imports_few_modules_and_no_command() -> None:
    found = modules("--help")
    assert len(found) <= MOST_MODULES
    assert roots(found).isdisjoint(HEAVY)
    own = {name for name in found if name.startswith("tidegate.cli.")}
    assert own <= {f"tidegate.cli.{name}" for name in ("app", "commands", "plain_parameters")}


def test_completion_imports_no_command() -> None:
    found = modules(_TIDEGATE_COMPLETE="complete_bash", COMP_WORDS="tidegate st", COMP_CWORD="1")
    assert not any(name in found for name in ("tidegate.cli.inspect", "tidegate.features.planner.command", "rich"))


READING = [("spec", "validate", FRAUD, "--no-data"), ("spec", "validate", FRAUD, "--no-data", "--json")]


@pytest.mark.parametrize("arguments", READING)
def test_a_command_that_reads_a_spec_imports_no_client_and_nothing_of_a_server(arguments: tuple[str, ...]) -> None:
    imported = modules(*arguments)
    assert "tidegate.spec" in imported
    assert roots(imported).isdisjoint(set(HEAVY) - {"msgspec", "yaml"} | {"http", "ssl", "starlette"})
    assert imported.isdisjoint({"tidegate.cli.client", "tidegate.domain.scaling", "tidegate.spec.render"})


PAGES = ("tidegate.features.lessons.lesson_pages", "tidegate.features.planner.p", "tidegate.features.rehearse.p")


def test_a_start_imports_no_page_no_planner_and_no_client_of_webhooks() -> None:
    program = (
        "import gc, json, sys\nfrom tidegate.cli import controller\ncontroller._import_server()\n"
        "print(json.dumps([sorted(sys.modules), gc.get_threshold()]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names, collected = json.loads(done.stdout)
    imported = set(names)
    assert collected == [*gc.get_threshold()[:2], 500], "requests that fail leave cycles that hold their bodies"
    assert roots(imported).isdisjoint({"jinja2", "httpx", "rich", "numpy", "alembic", "psycopg", "typer"})
    assert "botocore.model" not in imported, "it comes with the first call of an AWS service"
    prefixes = ("tidegate.console", "tidegate.simulation", "tidegate.cli.client", *PAGES)
    light = {"tidegate.console", "tidegate.console.late_routes"}
    assert [name for name in imported - light if name.startswith(prefixes)] == []


ASKING = [("status", "--json"), ("invoke", "e", "--body", "1"), ("rollout", "pause", "e")]


@pytest.mark.parametrize("arguments", ASKING)
def test_a_question_to_the_server_imports_no_spec_and_no_other_client(arguments: tuple[str, ...]) -> None:
    answers = {
        f"{API}/endpoints": found({"endpoints": []}),
        "/endpoints/e/invocations": (200, b"0.5"),
        f"{API}/endpoints/e/rollout/pause": found(endpoint_document("e")),
    }
    with stub(answers) as (url, _):
        imported = modules(*arguments, TIDEGATE_URL=url)
    assert roots(imported).isdisjoint({"pydantic", "httpx", "botocore", "yaml", "msgspec", "asyncio"})
    assert "tidegate.spec" not in imported


def resolve(entry: CommandEntry) -> Any:
    """The command of an entry; its group is imported before."""
    group, _, name = entry.name.partition(" ")
    top = DeferredCommand(next(one for one in TOP if one.name == group)).resolve()
    return top.commands[name].resolve() if name else top


EVERY = [entry for _, entry in ENTRIES]


@pytest.mark.parametrize("entry", EVERY, ids=lambda entry: entry.name)
def test_the_table_says_what_the_command_says(entry: CommandEntry) -> None:
    command = resolve(entry)
    assert command.name == entry.name.rpartition(" ")[2]
    assert (command.help or "").splitlines()[0] == entry.help
    assert len(entry.help) <= 60, "it fits 80 columns"


def test_the_commands_of_the_first_level_can_be_surveyed_and_help_shows_each_whole() -> None:
    names = [entry.name for entry in TOP]
    assert len(names) == len(set(names)) <= MOST_COMMANDS
    assert set(MEMBERS) <= set(names), "every group has an entry"
    assert set(ALIASES.values()) <= set(names)
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).output
    for task, entries in TASKS.items():
        section = shown.partition(f"\n{task}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0].rstrip(",") for line in section.splitlines()] == [entry.name for entry in entries]
    assert [entry.help for entry in TOP if f"  {entry.help}\n" not in shown] == []
    assert max(map(len, shown.splitlines())) <= 80


def test_help_starts_with_commands_that_exist() -> None:
    shown = CliRunner().invoke(app, ["--help"], prog_name="tidegate", env={"COLUMNS": "80"}).output
    section = shown.partition("\nStart here:\n")[2].partition("\n\n")[0]
    assert shown.index("Start here:") < shown.index("Options:")
    for line in section.splitlines():
        words = line.split()[1:3]
        name = next(name for name in (" ".join(words), words[0]) if name in LEAVES)
        options = {option for one in LEAVES[name].params for option in one.opts}
        assert {word for word in line.split("  ")[1].split() if word.startswith("--")} <= options
    assert len(section.splitlines()) == 5


def leaves(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command below this one that does something, with its words."""
    if isinstance(command, DeferredCommand):
        command = command.resolve()
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name, inner in command.commands.items():
        yield from leaves(f"{words} {name}", inner)


LEAVES = dict(leaf for entry in TOP for leaf in leaves(entry.name, DeferredCommand(entry)))


@pytest.mark.parametrize("words", LEAVES)
def test_every_command_has_help_with_an_example(words: str) -> None:
    shown = CliRunner().invoke(app, [*words.split(), "--help"], prog_name="tidegate").output
    example = shown.partition("Example")[2]
    assert f"tidegate {words}" in example or f"tidegate {words.rpartition(' ')[0]} " in example


def test_every_command_but_those_that_print_nothing_else_has_json() -> None:
    for words, command in LEAVES.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options or words in ("spec schema", "rollout record export"), words


@pytest.mark.parametrize("former", FORMER_NAMES)
def test_a_former_name_is_the_new_command_and_says_so_on_stderr(
    former: str, capsys: pytest.CaptureFixture[str]
) -> None:
    new = FORMER_NAMES[former].split()
    assert former not in {entry.name for entry in TOP} or former == new[0], "a name is either former or of today"
    hint = f"tidegate: {former} is now: tidegate {' '.join(new)} (the old name ends with the next release)\n"
    assert replace_former_name([former, "some", "--thing"]) == [*new, "some", "--thing"]
    assert capsys.readouterr().err == hint
    told = CliRunner().invoke(app, [*new, "--help"])
    assert told.exit_code == 0
    if former != new[0]:
        done = CliRunner().invoke(app, [former, "--help"])
        assert (done.exit_code, done.stdout, done.stderr) == (0, told.stdout, hint)


def test_a_group_that_was_a_command_keeps_its_own_commands_and_its_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words in (
        ["labels"],
        ["labels", "--help"],
        ["labels", "terms", "chat"],
        ["drift", "schedule"],
        ["status"],
    ):
        assert replace_former_name(words) == words
    assert capsys.readouterr().err == ""
    assert replace_former_name(["labels", "fraud"]) == ["labels", "measure", "fraud"]
    assert replace_former_name(["cost", "--rps", "2"]) == ["cost", "estimate", "--rps", "2"]
    assert capsys.readouterr().err.count("is now") == 2


def test_an_alias_is_the_command() -> None:
    with stub({f"{API}/endpoints": found({"endpoints": []})}) as (url, _):
        done = [CliRunner().invoke(app, [name], env={"TIDEGATE_URL": url}) for name in ("ls", "status")]
    assert done[0].exit_code == 0
    assert done[0].output == done[1].output == "no endpoints yet: tidegate deploy SPEC makes one\n"


def test_completion_names_the_commands_and_their_options() -> None:
    def complete(words: str) -> str:
        place = str(len(words.split(" ")) - 1)
        variables = {"_TIDEGATE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": place}
        return CliRunner().invoke(app, [], env=variables, prog_name="tidegate").output

    assert complete("tidegate st").split() == ["status"]
    assert complete("tidegate rollout pro").split() == ["promote"]
    assert complete("tidegate access ").split() == ["user", "token", "audit"]
    assert complete("tidegate simu").split() == complete("tidegate label-").split() == [], (
        "former names are not offered"
    )
    assert "--follow" in complete("tidegate logs e --f").split()


def test_an_unknown_command_suggests_one() -> None:
    done = CliRunner().invoke(app, ["statsu"])
    assert done.exit_code == 2
    assert "status" in done.output


def read(arguments: list[str]) -> object:
    """What a command of these options gets."""
    got: dict[str, object] = {}
    program = typer.Typer(add_completion=False)

    def command(
        count: int = typer.Option(3, min=1, max=9),
        rate: float = 0.5,
        file: Path = typer.Option(Path("x"), readable=False),  # noqa: B008
        words: list[str] = typer.Option([]),  # noqa: B008
        name: str | None = None,
    ) -> None:
        got.update(count=count, rate=rate, file=file, words=words, name=name)

    program.command()(command)
    made = typer.main.get_command(program)
    for parameter in made.params:
        parameter._runtime_param = PlainReader(parameter.type_descriptor)  # type: ignore[attr-defined]
    done = made.main(arguments, standalone_mode=False)
    assert done is None
    return got


def test_plain_options_are_read_as_typer_reads_them() -> None:
    assert read([]) == {"count": 3, "rate": 0.5, "file": Path("x"), "words": [], "name": None}
    given = ["--count", "9", "--rate", "2", "--file", "a/b", "--words", "1", "--words", "2", "--name", "n"]
    assert read(given) == {"count": 9, "rate": 2.0, "file": Path("a/b"), "words": ["1", "2"], "name": "n"}
    assert type(read(["--rate", "2"])["rate"]) is float  # type: ignore[index]
    assert read(["--rate", "1e3"])["rate"] == 1000.0  # type: ignore[index]


@pytest.mark.parametrize("text", ["0", "10", "x", "1.5", ""])
def test_what_is_no_such_number_is_refused_by_typer(text: str) -> None:
    with pytest.raises(Exception, match="Input should be"):
        read(["--count", text])
