"""The plan of a spec's rollout, before it is deployed; the serving version is assumed to be of its size. Pure."""

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.fleet import RoutingStrategy, VariantSpec
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import RolloutPlan, Version
from tidegate.rollout.plan import compile_plan

SERVING = "what-serves-now"


def make_versions(wish: DesiredDeployment) -> tuple[Version, Version]:
    """Return the serving version and the wanted one."""
    return _make_version(wish, SERVING, 1), _make_version(wish, wish.config.name, 2)


def make_plan(wish: DesiredDeployment) -> RolloutPlan:
    """Compile the plan. Raises Invalid for an impossible one."""
    return compile_plan(*make_versions(wish), wish.deployment, Capabilities())


def _make_version(wish: DesiredDeployment, config_name: str, generation: int) -> Version:
    models = {model.name: model for model in wish.models}
    variants = tuple(
        VariantSpec(
            name=one.name,
            model=models[one.model_name],
            instance_count=one.instance_count,
            weight=one.weight,
            instance_type=one.instance_type,
            routing=one.routing or RoutingStrategy.RANDOM,
            shadow=one in wish.config.shadows,
        )
        for one in (*wish.config.variants, *wish.config.shadows)
    )
    return Version(generation, config_name, variants)
