"""The target at AWS Lambda: an endpoint is a function, a fleet is a version, traffic is the routing of an alias."""
