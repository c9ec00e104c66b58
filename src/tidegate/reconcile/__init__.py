"""The loops that make the world follow the records: look, decide, save, act. Nothing here decides."""
