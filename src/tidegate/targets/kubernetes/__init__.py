"""Fleets as Deployments of a Kubernetes cluster, behind gateways that run there.

Each fleet is a Deployment whose pods run tidegate's worker. Gateways are pods with a HAProxy and an agent
(``proxy/agent.py``), to which the controller gives the pods' addresses and the routes. The truth about fleets is
in the API server, that about routes in the gateways: a controller that starts adopts both.
"""
