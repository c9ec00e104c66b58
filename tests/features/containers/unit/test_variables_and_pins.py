"""The variables of a container, and which images of a spec are pinned."""

from types import SimpleNamespace
from typing import Any

import pytest

from tidegate.domain.errors import Invalid
from tidegate.domain.registry import ContainerDefinition, Upstream
from tidegate.features.containers.worker.container import render_variables
from tidegate.gateway.deployments import pin_references
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec


def container(environment: dict[str, str], **upstream: Any) -> ContainerSpec:
    choice = RuntimeChoice(RuntimeKind.CONTAINER, image="fraud", upstream=Upstream(**upstream))
    return ContainerSpec(runtime=choice, model_dir="/data", environment=environment)


def test_variables_are_taken_as_they_are() -> None:
    text = render_variables(container({"QUOTED": ' "a" $HOME #', "NODE_OPTIONS": "--x=1"}, port=9000))
    assert 'QUOTED= "a" $HOME #\n' in text
    assert "NODE_OPTIONS=--x=1\n" in text
    assert "PORT=9000\n" in text and "SM_MODEL_DIR=/opt/ml/model\n" in text


@pytest.mark.parametrize("given", [{"TWO": "a\nb"}, {"PORT": "1"}, {"A B": "c"}, {"#": "c"}])
def test_variables_that_it_cannot_have(given: dict[str, str]) -> None:
    with pytest.raises(Invalid, match="environment variable"):
        render_variables(container(given))


async def pin(data: object) -> Any:
    async def pin_image(one: ContainerDefinition) -> str:
        return f"{one.image}@{'image' if one.upstream is None else 'container'}"

    context: Any = SimpleNamespace(pin_image=pin_image, targets=SimpleNamespace(default="local"))
    return await pin_references(context, data)


async def test_every_image_of_a_spec_is_pinned_and_nothing_else() -> None:
    given = {
        "endpoint": "shop",
        "variants": [{"model": {"container": "a", "environment": {"container": "b", "image": "c"}}}],
        "pipeline": [{"image": "d"}, {"container": "e"}],
        "shadow": {"model": {"container": "f"}},
    }
    assert await pin(given) == {
        "endpoint": "shop",
        "variants": [{"model": {"container": "a@container", "environment": {"container": "b", "image": "c"}}}],
        "pipeline": [{"image": "d@image"}, {"container": "e@container"}],
        "shadow": {"model": {"container": "f@container"}},
    }
    assert given["shadow"] == {"model": {"container": "f"}}


async def test_images_of_other_targets_and_malformed_specs_are_left_alone() -> None:
    specs: tuple[Any, ...] = (
        {"target": "kubernetes", "model": {"container": "a"}},
        {"model": {"container": 3}},
        [],
        None,
    )
    for given in specs:
        assert await pin(given) == given
