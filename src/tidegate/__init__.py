"""tidegate: deploy a trained model, shift live traffic to it step by step, and roll back by itself."""

try:
    from tidegate._version import __version__ as __version__
except ImportError:  # a checkout that nothing has installed
    __version__ = "0+unknown"
