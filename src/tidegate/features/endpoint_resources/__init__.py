"""Endpoints that are declared as resources of the place where they run, such as objects of a Kubernetes cluster.

``rules`` decides what is done for a resource and what its status says, ``loop`` reads the resources and does it.
"""
