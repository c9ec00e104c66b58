"""requirements.txt beside a model's code: compared, never installed."""

from importlib.metadata import version
from pathlib import Path

import pytest

from tidegate.domain.errors import ArtifactError
from tidegate.serving.runtimes.user_code import check_requirements

NUMPY = version("numpy")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n\n--index-url https://packages.example/simple\n",
        f"numpy\nNumPy=={NUMPY}  # ours\nnumpy>=1,<99\n",
        'not-there-at-all; python_version < "3"\n',
        "numpy @ https://packages.example/numpy.whl\n",
    ],
)
def test_what_is_there(tmp_path: Path, text: str) -> None:
    check_requirements(tmp_path / "none.txt")
    (tmp_path / "requirements.txt").write_text(text)
    check_requirements(tmp_path / "requirements.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not-there-at-all>=2", "requirements.txt is not met: not-there-at-all>=2 is not installed. Nothing is"),
        ("numpy==1.0", f"numpy==1.0, but {NUMPY} is installed. "),
        ("not-a\nnumpy\nnot-b\n", "not-a is not installed; not-b is not installed. "),
        ("./local folder", "'./local folder' is not a requirement"),
    ],
)
def test_what_is_not_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    with pytest.raises(ArtifactError) as caught:
        check_requirements(tmp_path / "requirements.txt")
    assert message in caught.value.message
