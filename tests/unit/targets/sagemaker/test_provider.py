"""How the target starts: in a server, in a command, and without boto3."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.targets.sagemaker.aws_specs import OPTIONS, options, wish
from tidegate.domain.errors import Invalid, StartupError, TargetRefused
from tidegate.targets.aws.client import open_client
from tidegate.targets.context import TargetContext
from tidegate.targets.registry import KINDS

KIND = KINDS["sagemaker"]


def context(given: dict[str, Any]) -> TargetContext:
    class Nothing:
        changed: Callable[[str], None] = staticmethod(print)
        options = given

    return cast(TargetContext, Nothing())


def test_a_server_drives_engine_mode() -> None:
    provider = KIND.provide(context({**OPTIONS, "mode": "engine"}))
    assert provider.target.can.shadow is False and provider.lifecycle.desired() == []


def test_a_server_refuses_native_mode_and_says_what_to_do() -> None:
    with pytest.raises(StartupError, match="tidegate direct deploy"):
        KIND.provide(context(OPTIONS))


def test_wrong_options_stop_the_server() -> None:
    with pytest.raises(StartupError, match="role_arn"):
        KIND.provide(context({**OPTIONS, "role_arn": "x"}))


def test_a_command_refuses_engine_mode_and_says_what_to_do() -> None:
    assert KIND.direct is not None
    with pytest.raises(TargetRefused, match="a server drives"):
        KIND.direct({**OPTIONS, "mode": "engine"}, print)


def test_uploads_without_boto3_name_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "boto3.s3.transfer", None)
    with pytest.raises(StartupError, match=r"pip install 'tidegate\[aws\]'"):
        open_client(options()).upload(tmp_path / "model.tar.gz", "models-bucket", "a", {})


def test_rendering_needs_no_boto3_and_no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    model = tmp_path / "model.tar.gz"
    model.write_bytes(b"trees")
    spec = wish(model={"image": "tidegate/xgboost", "data": f"file://{model}"})
    calls = KIND.renderers["calls"](spec, OPTIONS)
    names = [one.name.split(":")[0] for one in calls.documents]
    assert names[0].startswith("upload ") and names[-1] == "CreateEndpoint"
    (template,) = KIND.renderers["cloudformation"](spec, OPTIONS).documents
    assert "Resources" in template.body


def test_a_rendering_has_what_the_target_would_refuse() -> None:
    spec = replace(wish(model={"image": "tidegate/onnx", "data": "s3://models-bucket/a.tar.gz"}))
    (refusal,) = KIND.renderers["calls"](spec, OPTIONS).refusals
    assert refusal.startswith("image 'tidegate/onnx'")
    with pytest.raises(Invalid, match="region"):
        KIND.renderers["calls"](spec, {**OPTIONS, "region": "x"})
    assert options().mode == "native"


def test_credentials_are_those_of_the_profile_in_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile lab]\naws_access_key_id = AKIALAB\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    client = open_client(options(profile="lab")).single.client("sagemaker")
    assert client._request_signer._credentials.access_key == "AKIALAB"
