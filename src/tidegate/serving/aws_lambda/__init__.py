"""Serves predictions as a function of AWS Lambda, by the same engines as a worker's."""
