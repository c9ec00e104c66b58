"""The command of pods of transform jobs that a controller of version 0.1.0 made (``python -m
tidegate.compose.transform_pod``), which may be started again with a newer image. It goes with the next release."""

import sys

from tidegate.host.late_import import load

if __name__ == "__main__":
    sys.exit(load("tidegate.features.batch.pod", "main")(sys.argv[1:]))
