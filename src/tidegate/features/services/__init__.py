"""Models that are HTTP services which run already: nothing is started or stopped, and a rollout shifts the traffic
from one address to another.

``host.service_addresses`` decides which addresses may be asked; ``worker.replicas`` finds the replicas of a service,
checks their health and chooses one for each request; ``worker.engine`` is the engine of an instance. ``check``
refuses at deployment what no instance could serve.
"""
