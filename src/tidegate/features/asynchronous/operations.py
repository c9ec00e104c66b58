"""Converts SageMaker's AsyncInferenceConfig to the domain's and back."""

from collections.abc import Mapping
from dataclasses import replace

from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.endpoint import EndpointConfig
from tidegate.domain.rollout import Version
from tidegate.wire.config_members import ConfigMember
from tidegate.wire.operation import Params

_NAME = "AsyncInferenceConfig"

_INCLUDE = {"SUCCESS_NOTIFICATION_TOPIC": "success", "ERROR_NOTIFICATION_TOPIC": "error"}
DEFAULT_CONCURRENT = AsyncConfig.max_concurrent


def _parse_async_config(given: Params) -> AsyncConfig:
    output = given["OutputConfig"]
    told = output.get("NotificationConfig", {})
    topics = {key: told.get(member) for key, member in (("success", "SuccessTopic"), ("error", "ErrorTopic"))}
    return AsyncConfig(
        output=output.get("S3OutputPath", ""),
        failure=output.get("S3FailurePath"),
        max_concurrent=given.get("ClientConfig", {}).get(
            "MaxConcurrentInvocationsPerInstance", DEFAULT_CONCURRENT
        ),
        success=(topics["success"],) if topics["success"] else (),
        error=(topics["error"],) if topics["error"] else (),
        include=tuple(_INCLUDE[name] for name in told.get("IncludeInferenceResponseIn", ())),
    )


def _render_async_config(config: AsyncConfig) -> Params:
    """Render a config that was not created through this API: topics only, the first of each kind."""
    topics = {"SuccessTopic": _first_topic(config.success), "ErrorTopic": _first_topic(config.error)}
    include = [name for name, key in _INCLUDE.items() if key in config.include]
    told: Params = {name: topic for name, topic in topics.items() if topic}
    if include:
        told["IncludeInferenceResponseIn"] = include
    return {
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": config.max_concurrent},
        "OutputConfig": {
            "S3OutputPath": config.output,
            "S3FailurePath": config.failure,
            "NotificationConfig": told or None,
        },
    }


def _first_topic(sinks: tuple[str, ...]) -> str | None:
    return next((sink for sink in sinks if sink.startswith("arn:")), None)


def _read(config: EndpointConfig, params: Params, tags: Mapping[str, str]) -> EndpointConfig:
    given = params.get(_NAME)
    return config if given is None else replace(config, asynchronous=_parse_async_config(given))


def _render(config: EndpointConfig) -> Params | None:
    return None if config.asynchronous is None else _render_async_config(config.asynchronous)


def _describe(version: Version) -> Params | None:
    return None if version.asynchronous is None else _render_async_config(version.asynchronous)


MEMBER = ConfigMember(_NAME, _read, _render, _describe)
