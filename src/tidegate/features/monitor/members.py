"""Members that operations of Model Monitor share: images, environments, places of answers."""

from tidegate.domain.errors import Invalid
from tidegate.wire.operation import Params, refuse_unsupported

ANALYSER = ("sagemaker-model-monitor-analyzer", "model-monitor")
CLARIFY = ("sagemaker-clarify-processing", "clarify")
"""Names of repositories of images that stand for the built-in analysis: SageMaker's and ours."""
REFUSED_SCRIPTS = (
    "ContainerEntrypoint",
    "ContainerArguments",
    "RecordPreprocessorSourceUri",
    "PostAnalyticsProcessorSourceUri",
)
PUBLISH = "publish_cloudwatch_metrics"


def repository_of(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def check_app(given: Params, images: tuple[str, ...]) -> None:
    """Raises Invalid for scripts, and for an image that is none of these."""
    refuse_unsupported(given, REFUSED_SCRIPTS)
    if repository_of(given["ImageUri"]) not in images:
        raise Invalid(
            f"ImageUri {given['ImageUri']!r}: the analysis is built in, so give SageMaker's image"
            f" {images[0]}, or tidegate/{images[1]}; other images are not run"
        )


def publishes(environment: dict[str, str]) -> bool:
    """Raises Invalid. SageMaker's SDKs always set the variable."""
    given = environment.get(PUBLISH, "Enabled")
    if given not in ("Enabled", "Disabled"):
        raise Invalid(f"Environment has {PUBLISH} {given!r}: give Enabled or Disabled")
    return given == "Enabled"
