"""The target at ECS: a fleet is a service with a target group, traffic is a listener rule of a load balancer."""
