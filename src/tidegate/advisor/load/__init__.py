"""The former name of ``tidegate.load``."""
