"""tidegate: deploy a trained model, shift live traffic to it step by step, and roll back by itself."""

__version__ = "0.1.0"
