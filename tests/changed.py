"""``python -m tests.changed``: run the tests that a change can reach, and a fixed smoke set (``make changed``).

A test file is reached if it imports a changed file, directly or through other modules; if it uses a fixture of
``tests/fixtures.py`` whose code does; if it names a changed data file (a template, a page, a golden file), or if a
module that it imports does; or if it is in the folder of the package or feature that changed, since imports by name
are not followed (they are in manifests and in the tables of commands, which name everything). What runs in other
processes is covered by the smoke set. ``make test-all`` runs everything.
"""

import argparse
import ast
import subprocess
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

from tests.file_order import TABLE, read_table

ROOT = Path(__file__).parents[1]
SMOKE = ("tests/meta", "tests/integration/test_platform_rollouts.py", "tests/wire/test_sagemaker_endpoints.py")
"""Always run: rules of the repository, rollouts of a whole platform, and the API over HTTP."""
EVERYTHING = (
    "pyproject.toml",
    "requirements.lock",
    "tests/conftest.py",
    "tests/file_order.py",
    "tests/postgres.py",
)
"""A change of one of these reaches every test."""
FIXTURES = "tests/fixtures.py"
SOURCES = ("src", "tests", "bench", "website")
UNLISTED = 1.0
"""Seconds of a file that is not in tests/file_seconds.txt, which has those of five and more."""


@dataclass(frozen=True)
class SourceFacts:
    """What one Python file refers to."""

    imports: frozenset[str]
    """Dotted names; of ``from a import b`` also ``a.b``."""
    arguments: frozenset[str]
    """Names of the arguments of its functions, which may be fixtures."""


def read_facts(text: str) -> SourceFacts:
    tree = ast.parse(text)
    return SourceFacts(
        frozenset(name for node in ast.walk(tree) for name in _names(node)),
        frozenset(
            one.arg
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for one in node.args.args
        ),
    )


def _names(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def read_fixtures(text: str) -> dict[str, frozenset[str]]:
    """The dotted names that each fixture of a module needs, with those of the fixtures and functions that it uses."""
    tree = ast.parse(text)
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}

    @cache
    def needs(name: str) -> frozenset[str]:
        used = {one.id for one in ast.walk(functions[name]) if isinstance(one, ast.Name)}
        used |= {one.arg for one in functions[name].args.args}
        inner = (needs(one) for one in used & functions.keys() - {name})
        return frozenset(imported[one] for one in used & imported.keys()).union(*inner)

    return {name: needs(name) for name in functions}


def module_of(path: str) -> str:
    """``src/tidegate/cli/app.py`` is ``tidegate.cli.app``; a package has the name of its folder."""
    return path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class Reach:
    """Which test files a change reaches, in one state of the repository.

    ``facts`` has each Python file by its path. ``naming`` finds the paths of the files that contain a text."""

    def __init__(self, facts: Mapping[str, SourceFacts], fixtures: str, naming: Callable[[str], Collection[str]]):
        self._facts, self._naming = facts, naming
        self._paths = {module_of(path): path for path in facts}
        self._fixtures = {name: frozenset(self._resolve(needs)) for name, needs in read_fixtures(fixtures).items()}
        self._dependents: dict[str, set[str]] = defaultdict(set)
        for path, one in facts.items():
            for needed in self._needs(path, one):
                self._dependents[needed].add(path)

    def _resolve(self, names: Iterable[str]) -> Iterable[str]:
        """Files of modules, with those of the packages around them."""
        for name in names:
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                found = self._paths.get(".".join(parts[:end]))
                if found:
                    yield found

    def _needs(self, path: str, facts: SourceFacts) -> set[str]:
        needed = set(self._resolve(facts.imports))
        if path.startswith("tests/"):
            needed.update(*(self._fixtures[name] for name in facts.arguments & self._fixtures.keys()))
        return needed - {path}

    def tests(self, changed: Iterable[str]) -> set[str]:
        """Paths of test files."""
        changed = set(changed)
        if not changed.isdisjoint(EVERYTHING):
            return {path for path in self._facts if is_test(path)}
        found = set(changed)
        for path in changed:
            found |= self._of_package(path)
            if not path.endswith(".py"):
                found |= {one for one in self._naming(path.rpartition("/")[2]) if _may_read(one, path)}
        todo = deque(found)
        while todo:
            for dependent in self._dependents[todo.popleft()] - found:
                found.add(dependent)
                todo.append(dependent)
        return {path for path in found & self._facts.keys() if is_test(path)}

    def _of_package(self, path: str) -> set[str]:
        """Tests in the folder that belongs to the package of a source: the innermost that there is."""
        parts = path.split("/")[2:-1] if path.startswith("src/tidegate/") else []
        folder = ["tests", *parts[:2]] if parts[:1] == ["features"] else ["tests", "unit", *parts]
        while len(folder) > 2:
            within = "/".join(folder) + "/"
            found = {one for one in self._facts if one.startswith(within)}
            if found:
                return found
            folder.pop()
        return set()


def _may_read(source: str, data: str) -> bool:
    """Tests read any data file, and code those of its own package. Of others, such as pages, it prints the name."""
    package = "/".join(data.split("/")[:3])
    return source.startswith("tests/") or (data.startswith("src/") and source.startswith(f"{package}/"))


def is_test(path: str) -> bool:
    return path.startswith("tests/") and path.rpartition("/")[2].startswith("test_") and path.endswith(".py")


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def working_tree() -> Reach:
    """The files as they are now, committed or not."""
    paths = [
        path for path in _listed("ls-files", "-co", "--exclude-standard", "--", *SOURCES) if (ROOT / path).exists()
    ]
    texts = {path: (ROOT / path).read_text() for path in paths if path.endswith(".py")}
    facts = {path: read_facts(text) for path, text in texts.items()}
    return Reach(facts, texts[FIXTURES], lambda name: [path for path, text in texts.items() if name in text])


def commit_tree(commit: str, known: dict[str, SourceFacts]) -> Reach:
    """The files of a commit. ``known`` keeps what was read, by blob."""
    blobs = {}
    for line in git("ls-tree", "-r", commit, "--", *SOURCES).splitlines():
        about, _, path = line.partition("\t")
        if path.endswith(".py"):
            blobs[path] = about.split()[2]
    for blob in set(blobs.values()) - known.keys():
        known[blob] = read_facts(git("cat-file", "blob", blob))
    fixtures = git("cat-file", "blob", blobs[FIXTURES]) if FIXTURES in blobs else ""

    def naming(name: str) -> Collection[str]:
        done = subprocess.run(
            ["git", "grep", "-lF", "-e", name, commit, "--", "src/*.py", "tests/*.py"],
            cwd=ROOT, check=False, capture_output=True, text=True,
        )  # fmt: skip
        return [line.partition(":")[2] for line in done.stdout.splitlines()]

    return Reach({path: known[blob] for path, blob in blobs.items()}, fixtures, naming)


def _listed(*arguments: str) -> list[str]:
    return git(*arguments).splitlines()


def find_changed(since: str) -> list[str]:
    """Files that differ from the last common commit with ``since``, new ones included."""
    base = git("merge-base", since, "HEAD").strip()
    return _listed("diff", "--name-only", base) + _listed("ls-files", "-o", "--exclude-standard")


def share(reached: Iterable[str], everything: Iterable[str], seconds: Mapping[str, float]) -> float:
    """The part of the seconds of all test files that the reached ones take."""
    return _seconds(reached, seconds) / _seconds(everything, seconds)


def _seconds(paths: Iterable[str], seconds: Mapping[str, float]) -> float:
    return sum(seconds.get(path, UNLISTED) for path in paths)


def report(commits: int) -> None:
    """Print which part of the test seconds each of the last commits reaches, and the median."""
    seconds = {path.rpartition("/")[2]: value for path, value in read_table(TABLE.read_text()).items()}
    known: dict[str, SourceFacts] = {}
    shares = []
    for commit in _listed("rev-list", "--no-merges", f"-{commits}", "HEAD"):
        reach = commit_tree(commit, known)
        every = [path for path in reach.tests(EVERYTHING)]
        found = reach.tests(_listed("diff-tree", "--no-commit-id", "--name-only", "-r", commit))
        by_path = {path: seconds.get(path.rpartition("/")[2], UNLISTED) for path in every}
        shares.append(share(found, every, by_path))
        print(f"{shares[-1]:7.1%} {git('log', '-1', '--format=%h %s', commit).strip()}", flush=True)
    print(f"median of {len(shares)} commits: {median(shares):.1%}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.changed", description=__doc__.partition("\n")[0])
    parser.add_argument("--since", default="main", help="commit or branch to compare with (default: main)")
    parser.add_argument("--list", action="store_true", help="print the files instead of running them")
    parser.add_argument(
        "--report", type=int, metavar="N", help="the share that each of the last N commits reaches"
    )
    given, options = parser.parse_known_args()
    if given.report:
        report(given.report)
        return 0
    reach = working_tree()
    found = sorted(reach.tests(find_changed(given.since)))
    part = share(found, reach.tests(EVERYTHING), read_table(TABLE.read_text()))
    print(f"{len(found)} test files, {part:.0%} of the seconds of all, and the smoke set", file=sys.stderr)
    if given.list:
        print(*found, sep="\n")
        return 0
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, *SMOKE, *found], cwd=ROOT, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
