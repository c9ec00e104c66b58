"""The lab: half an hour with a fraud model on this very server, each step read from what runs."""
