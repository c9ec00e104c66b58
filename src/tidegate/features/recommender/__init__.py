"""Which configuration serves a model best: real load against real configurations of this machine."""
