"""The web console: pages that explain deployments by running them."""
