"""The dispatcher: sends accepted asynchronous requests to the model and stores their responses. Runs in a process
of its own, which may be killed at any moment."""
