"""Models that are container images, run with podman or Docker."""
