"""A release of this checkout, with the tools that make one and those that install it."""

import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".clients" / "release" / "bin"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
VERSION = "41.2.3"
needs_tools = pytest.mark.skipif(not (TOOLS / "twine").exists(), reason="make .clients/release/.done has not run")


def run(*words: str | Path, folder: Path, **environment: str) -> str:
    """What it prints. Raises AssertionError with all of it for a status other than 0."""
    done = subprocess.run(words, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source: Path, *kinds: str) -> list[str]:
    """Names of what is built, below ``dist``; the tools are those at hand, so that nothing is downloaded."""
    run(TOOLS / "python", "-m", "build", "--no-isolation", *kinds, folder=source)
    return sorted(path.name for path in (source / "dist").iterdir())


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose commit has a tag, with both distributions in ``dist``."""
    folder = tmp_path_factory.mktemp("release") / "clone"
    run("git", "clone", "--quiet", "--no-tags", "--depth", "1", ROOT.as_uri(), folder, folder=ROOT)
    run("git", "tag", f"v{VERSION}", folder=folder)
    assert build(folder) == [f"tidegate-{VERSION}-py3-none-any.whl", f"tidegate-{VERSION}.tar.gz"]
    return folder


@pytest.mark.slow
@needs_tools
def test_distributions_of_a_tag_pass_the_index_checks_and_rebuild_without_git(
    tagged: Path, tmp_path: Path
) -> None:
    assert (
        run(TOOLS / "twine", "check", "--strict", *(tagged / "dist").iterdir(), folder=tagged).count("PASSED") == 2
    )
    with tarfile.open(tagged / "dist" / f"tidegate-{VERSION}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / f"tidegate-{VERSION}"
    assert not (source / ".git").exists()
    assert build(source, "--wheel") == [f"tidegate-{VERSION}-py3-none-any.whl"]


@pytest.mark.slow
@needs_tools
def test_a_checkout_without_tags_or_repository_still_builds(tagged: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", "--no-tags", tagged.as_uri(), clone, folder=tmp_path)
    (built,) = build(clone, "--wheel")
    assert re.fullmatch(r"tidegate-0\.0\.1\.dev1\+g[0-9a-f]+-py3-none-any\.whl", built)
    bare = tmp_path / "bare"
    bare.mkdir()
    archive = tmp_path / "sources.tar"
    run("git", "archive", "--output", archive, "HEAD", folder=clone)
    with tarfile.open(archive) as sources:
        sources.extractall(bare, filter="data")
    assert build(bare, "--wheel") == ["tidegate-0.0.0-py3-none-any.whl"]


@pytest.mark.slow
@needs_tools
@pytest.mark.parametrize("tool", ["pipx", "uv"])
def test_the_wheel_installs_as_a_command_of_its_own(tool: str, tagged: Path, tmp_path: Path) -> None:
    wheel = tagged / "dist" / f"tidegate-{VERSION}-py3-none-any.whl"
    folders = ("PIPX_HOME", "PIPX_BIN_DIR", "PIPX_MAN_DIR", "UV_TOOL_DIR", "UV_TOOL_BIN_DIR")
    places = {name: str(tmp_path / name) for name in folders}
    lock = str(ROOT / "requirements.lock")
    words = {
        "pipx": ["install", "--pip-args", f"-c {lock}", str(wheel)],
        "uv": ["tool", "install", "--constraints", lock, str(wheel)],
    }[tool]
    run(TOOLS / tool, *words, folder=tmp_path, **places)
    command = tmp_path / ("PIPX_BIN_DIR" if tool == "pipx" else "UV_TOOL_BIN_DIR") / "tidegate"
    assert run(command, "--version", folder=tmp_path, PYTHONPATH="") == f"tidegate {VERSION}\n"
    run(command, "spec", "schema", folder=tmp_path, PYTHONPATH="")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_call_the_makefile_pin_actions_and_keep_no_secret(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = set()
    for job in workflow["jobs"].values():
        choices = job.get("strategy", {}).get("matrix", {}).get("target", [])
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
            called |= {*choices, *re.findall(r"^make ([a-z-]+)", step.get("run", ""))}
    assert called and called <= targets
    assert "secrets." not in path.read_text() and workflow["permissions"] == {"contents": "read"}
