"""The manifest of the feature containers."""

from tidegate.domain.feature import Feature, Loop

FEATURE = Feature(
    name="containers",
    summary="Models that are container images, run with podman or Docker.",
    page="containers.md",
    loops=(Loop(".sweeper:make_sweeper", 30.0, setting="containers"),),
    hooks={
        "check_machine": ".machine_check:check_engine",
        "pin_image": ".pinning:pin_image",
        "worker_container": ".worker.container:open_container",
        "worker_container_image": ".worker.images:fetch_image",
    },
)
