"""Carries accepted asynchronous requests to the model and their answers to where they belong: the dispatcher's rooms.
Runs in a process of its own, which may die at any moment."""
