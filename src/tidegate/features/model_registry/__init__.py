"""Models from a registry: MLflow's, or groups of model packages. An endpoint that follows an alias or a group rolls
out each version that it names, once.

``rules`` decides, ``loop`` looks at the registry and deploys, ``registries`` and ``mlflow`` ask, ``webhook`` wakes
the loop.
"""
