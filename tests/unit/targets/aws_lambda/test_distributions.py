"""What a function's package holds is all that its runtime imports."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tidegate.targets.aws_lambda.distributions import PROVIDED, collect


@pytest.mark.parametrize(("extra", "module"), [("", "python"), ("script", "script")])
def test_a_runtime_finds_every_library_in_the_package(tmp_path: Path, extra: str, module: str) -> None:
    files = {name: path for one in collect(extra) for name, path in one.files.items()}
    for distribution in map(metadata.distribution, PROVIDED):  # by Lambda
        files |= {file.as_posix(): Path(str(file.locate())) for file in distribution.files or ()}
    for name, path in files.items():
        if ".." not in name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).symlink_to(path)
    # -S: no library of this environment, -I: no path but the package's
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import tidegate.serving.runtimes.{module}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_bytecode_and_no_list_of_files_is_packed() -> None:
    names = [name for one in collect("xgboost") for name in one.files]
    assert "numpy/testing/__init__.py" in names
    assert [name for name in names if name.endswith((".pyc", "/RECORD"))] == []
