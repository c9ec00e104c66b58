"""Each process of a test run collects the same tests: no name depends on the time, on chance or on the process."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
CHANGING = frozenset(
    f"{module}.{name}"
    for module, names in {
        "time": (
            "time",
            "time_ns",
            "monotonic",
            "monotonic_ns",
            "perf_counter",
            "strftime",
            "localtime",
            "gmtime",
        ),
        "datetime": ("now", "utcnow", "today"),
        "date": ("today",),
        "uuid": ("uuid1", "uuid4"),
        "secrets": ("token_bytes", "token_hex", "token_urlsafe", "choice", "randbelow"),
        "os": ("getpid", "urandom"),
        "random": ("random", "randint", "choice", "choices", "sample", "shuffle", "uniform", "randbytes"),
        "tempfile": ("mkdtemp", "mkstemp", "mktemp"),
    }.items()
    for name in names
)
STAMPED = {"gzip.compress", "gzip.GzipFile", "GzipFile"}


def evaluate_on_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run on import: not the bodies of functions, but their decorators and defaults."""
    yield node
    for name, value in ast.iter_fields(node):
        if isinstance(node, FUNCTIONS) and name == "body":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from evaluate_on_import(child)


def find_changing(source: str) -> list[str]:
    """The calls on import whose value differs from one process to the next, as "line: call"."""
    found = []
    for node in evaluate_on_import(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if ".".join(called.split(".")[-2:]) in CHANGING or (
            called in STAMPED and "mtime" not in {word.arg for word in node.keywords}
        ):
            found.append(f"{node.lineno}: {called}")
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import gzip\nPACKED = gzip.compress(b'?')", ["2: gzip.compress"]),
        ("PACKED = gzip.compress(b'?', mtime=0)", []),
        (
            "@pytest.mark.parametrize('now', [datetime.datetime.now()])\ndef test_x(now): ...",
            ["1: datetime.datetime.now"],
        ),
        ("def made():\n    return gzip.compress(b'?')", []),
        ("class Case:\n    names = [uuid.uuid4() for _ in range(2)]", ["2: uuid.uuid4"]),
        ("def made(now=time.time()): ...", ["1: time.time"]),
        ("chosen = random.Random(7).choice([1, 2])", []),
    ],
)
def test_what_changes_from_process_to_process_is_found(source: str, found: list[str]) -> None:
    assert find_changing(source) == found


def test_no_test_is_named_by_what_changes_from_process_to_process() -> None:
    changing = [
        f"{path.relative_to(TESTS)}:{call}"
        for path in TESTS.rglob("test_*.py")
        for call in find_changing(path.read_text())
    ]
    assert not changing, "give these a fixed value, or make them inside the test: " + ", ".join(changing)
