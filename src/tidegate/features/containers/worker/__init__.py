"""The engine of a container image, in an instance."""
