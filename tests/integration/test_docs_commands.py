"""Every documented command is run: what the pages show, in its order, with the files that they show.

Five pages start and stop a server of their own, all others share one. They run beside one another, since they
mostly wait: for bakes, loads and replays. ``documented_commands.NOT_RUN`` has what cannot be run here, and why.

A block is a fence with its language and, for a file, its name: ``yaml fraud.yaml``. ``sh install`` needs a package
index or a clone and is not run here.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from website.lab_notebook import notebook

from tests.documentation import DOCS, PAGES, ROOT, read_page
from tests.integration.documented_commands import (
    CLEAR,
    FENCE,
    FIRST,
    NOT_RUN,
    OWN,
    commands,
    environment,
    prepare,
    script,
    steps,
    write_images,
)
from tidegate.host.platform import free_port

pytestmark = pytest.mark.slow

BIN = Path(os.environ.get("TIDEGATE_TEST_BIN") or Path(sys.executable).parent)
"""Whose commands: of this environment, or of one with a wheel (make wheel)."""
ADDRESS = "127.0.0.1:8471"
"""Where the pages expect the server; the test has a port of its own."""
START = "getting-started.md"
README = "README.md"
MODELS = "python3 train.py\ncp v1.ubj model.ubj"
"""What has been done with the files of the first page where another one begins."""
EXPECTED = {
    START: ["exit status 1: it was rolled back", "InService"],
    "ci-cd.md": ["fraud", "InService"],
    "fastapi.md": ["the service http://127.0.0.1:9101", "exit status 1: it was rolled back", "by status: {200: "],
    "lab.md": [
        "compare would have stopped it",
        "it was rolled back",
        "verdict: fail",
        '"payroll-fraud" is deleted',
    ],
    "cost.md": ["a month"],
    "rehearse.md": ["bad versions rolled back"],
    "replay.md": ["requests"],
    "compare.md": ["verdict: pass"],
    "batch.md": ["Completed, 2 records"],
    "planner.md": ["is being created"],
    "operations.md": ["restored"],
    "send-requests-from-boto3.md": ["400 Row 1 has 2 columns; the model takes 3."],
    README: [
        " serves\n",
        "400 Row 1 has 3 columns; the model takes 4.",
        "statuses {'200': ",
        "0.9692",
    ],
    "endpoints.md": ["explanations"],
    "open-inference.md": ['"outputs":[{"name":"predictions"'],
}
"""What a page's commands print, beside ending well."""
PATIENT = "sed -i 's/above: 100ms/above: 30s/' tidegate-examples/*/*.yaml\n"
"""After the lab's training: an alarm on the latency of a machine that tests keep busy would decide by chance."""
JUPYTER = ROOT / ".clients" / "jupyter" / "bin" / "jupyter"
"""Runs the lab as its notebook, which has the same commands; where it is not installed a shell runs the page's."""
SHARED = [
    page
    for page in PAGES
    if page not in OWN and {text for kind, text in steps(page) if kind != "spec"} - set(NOT_RUN)
]
Ran = subprocess.CompletedProcess[str]


def test_what_is_not_run_is_documented_and_what_is_prepared_is_run() -> None:
    every = {text for page in PAGES for text in commands(page)}
    assert set(NOT_RUN) - every == set()
    shown = {page: {word for step in steps(page) for word in step} for page in PAGES}
    assert [one for one in FIRST if one[1] not in shown[one[0]]] == []
    assert all(NOT_RUN.values())
    assert {"tidegate cost estimate fraud.yaml --traffic payroll"} <= every
    assert any("--speed 3600" in text for text in commands("replay.md"))


def test_the_notebook_of_the_lab_has_what_the_page_says() -> None:
    made = json.loads(notebook(read_page("lab.md")))
    assert (DOCS / "lab.ipynb").read_text() == notebook(read_page("lab.md")), "python -m website.lab_notebook"
    sources = ["".join(cell["source"]) for cell in made["cells"] if cell["cell_type"] == "code"]
    assert all(source.startswith("%%bash\nset -e\n") for source in sources)
    run = {line for source in sources for line in source.replace("\\\n", " ").splitlines()}
    assert {line for line in run if line.startswith("tidegate ")} >= {
        "tidegate down",
        "tidegate rehearse tidegate-examples/payroll-fraud/better.yaml",
    }
    nbformat = [made["nbformat"], made["nbformat_minor"], len({cell["id"] for cell in made["cells"]})]
    assert nbformat == [4, 5, len(made["cells"])]


def own_script(page: str, port: int) -> str:
    """What a reader would type, in one shell that ends at the first command that fails."""
    pages = [page] if page in (START, README) else [START, page]
    lines = ["set -eu", "trap 'kill $(jobs -p) 2> ended.txt || true' EXIT"]
    for each in pages:
        for language, name, text in FENCE.findall(read_page(each)):
            here = text.replace(ADDRESS, f"127.0.0.1:{port}")
            if language == "sh" and not name and each == page:
                lines.append(re.sub(r"(?<=--train-only --speed 120\n)", PATIENT, here))
            elif language != "sh" and name:
                lines.append(f"cat > {name} <<'END OF FILE'\n{here}END OF FILE")
        if each != page:
            lines.append(MODELS)
    return "\n".join(lines)


def run_notebook(folder: Path, given: dict[str, str]) -> Ran:
    """All cells of the lab, in Jupyter; the output is what they print."""
    shown = json.loads((DOCS / "lab.ipynb").read_text())
    for cell in shown["cells"]:
        trains = cell["cell_type"] == "code" and any("--train-only" in line for line in cell["source"])
        cell["source"] += [f"\n{PATIENT}"] if trains else []
    (folder / "lab.ipynb").write_text(json.dumps(shown))
    files = ["--output", str(folder / "ran.ipynb"), str(folder / "lab.ipynb")]
    command = [str(JUPYTER), "execute", "--timeout=600", *files]
    done = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True)
    if (folder / "ran.ipynb").exists():
        cells = json.loads((folder / "ran.ipynb").read_text())["cells"]
        said = [text for cell in cells for one in cell.get("outputs", ()) for text in one.get("text", ())]
        done.stdout += "".join(said)
    return done


def run_own(page: str, folder: Path) -> Ran:
    port = free_port()
    given = environment(folder, port, BIN)
    work = folder / "work"
    work.mkdir()
    try:
        if page == "lab.md" and JUPYTER.exists():
            return run_notebook(work, given)
        return bash(own_script(page, port), work, given)
    finally:
        subprocess.run([BIN / "tidegate", "down"], env=given, cwd=work, capture_output=True)


def run_shared(pages: dict[str, Future[Ran]], folder: Path) -> None:
    """Page after page on one server; one that fails leaves nothing to the next. Each result is there as soon as its
    page has ended: a test waits for the pages before its own, and not for all."""
    try:
        _run_shared(pages, folder)
    except BaseException as error:
        for page in pages.values():
            if not page.done():
                page.set_exception(error)
        raise


def _run_shared(pages: dict[str, Future[Ran]], folder: Path) -> None:
    port = free_port()
    given = environment(folder, port, BIN)
    allowed = {"TIDEGATE_TRUST": "code", "TIDEGATE_OUTPUT_ROOTS": str(folder)}
    server = {**given, **allowed, "TIDEGATE_IMAGES": str(write_images(folder))}

    program = (
        "import numpy, xgboost\n"
        "rows = numpy.random.default_rng(1).random((200, 3))\n"
        "data = xgboost.DMatrix(rows, rows[:, 0] > 0.5)\n"
        f"xgboost.train({{'objective': 'binary:logistic'}}, data, 5).save_model({str(folder / 'm.ubj')!r})\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    subprocess.run([BIN / "tidegate", "up", "--detach"], env=server, check=True, capture_output=True)
    try:
        for page, result in pages.items():
            work = folder / page
            work.mkdir()
            prepare(page, work, folder / "m.ubj")
            text = script(page, work, free_port()).replace(ADDRESS, f"127.0.0.1:{port}")
            done = bash(text, work, given)
            if done.returncode:
                bash(f"{CLEAR}\nclear", work, given)
            result.set_result(done)
    finally:
        subprocess.run([BIN / "tidegate", "down"], env=given, capture_output=True)


def bash(text: str, folder: Path, given: dict[str, str]) -> Ran:
    return subprocess.run(
        ["bash", "-c", text], cwd=folder, env=given, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


@pytest.fixture(scope="module")
def ran(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Ran]]]:
    """The pages that this run of the tests asks for, under way."""
    asked = {
        item.callspec.params["page"]
        for item in request.session.items
        if hasattr(item, "callspec") and "page" in item.callspec.params
    }
    with ThreadPoolExecutor(1 + len(OWN)) as threads:
        found = {
            page: threads.submit(run_own, page, tmp_path_factory.mktemp("own")) for page in OWN if page in asked
        }
        shared = {page: Future[Ran]() for page in SHARED if page in asked}
        if shared:
            threads.submit(run_shared, shared, tmp_path_factory.mktemp("shared"))
        yield found | shared


@pytest.mark.e2e
@pytest.mark.timeout(
    1800
)  # of the pages before it on the same server, the longest takes two minutes on a quiet machine
@pytest.mark.parametrize("page", [*SHARED, *OWN])
def test_the_commands_of_a_page_work_in_their_order(page: str, ran: dict[str, Future[Ran]]) -> None:
    done = ran[page].result()
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())  # a cause may be broken into lines anywhere
    assert [text for text in EXPECTED.get(page, []) if " ".join(text.split()) not in said] == []
