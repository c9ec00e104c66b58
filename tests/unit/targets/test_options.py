"""The file of TIDEGATE_TARGETS."""

from pathlib import Path

import pytest

from tidegate.domain.errors import StartupError
from tidegate.targets.options import TargetOptions, parse_targets, read_targets

KNOWN = ("local", "kubernetes", "sagemaker")


def test_a_platform_without_the_file_has_this_machine_alone() -> None:
    assert read_targets(None, KNOWN) == TargetOptions({"local": {}}, "local")
    assert parse_targets("", "t.yaml", KNOWN) == TargetOptions({"local": {}}, "local")


def test_each_target_has_its_settings_and_one_is_the_default() -> None:
    text = "default: kubernetes\nkubernetes:\n  namespace: models\nsagemaker:\n"
    assert parse_targets(text, "t.yaml", KNOWN) == TargetOptions(
        {"local": {}, "kubernetes": {"namespace": "models"}, "sagemaker": {}}, "kubernetes"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kubernets: {}", "t.yaml: unknown target 'kubernets', did you mean 'kubernetes'?"),
        ("kubernetes: models", "t.yaml: kubernetes: expected a mapping of settings"),
        ("- kubernetes", "t.yaml: expected a mapping of targets to their settings"),
        ("default: kubernetes", "t.yaml: default: 'kubernetes' is not one of the targets: local"),
        ("default: [local]", "t.yaml: default: ['local'] is not one of the targets: local"),
        ("a: [", "t.yaml is not YAML"),
    ],
)
def test_mistake_in_the_file_is_named(text: str, message: str) -> None:
    with pytest.raises(StartupError) as caught:
        parse_targets(text, "t.yaml", KNOWN)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"the file of targets .* cannot be read: No such file"):
        read_targets(tmp_path / "none.yaml", KNOWN)
