"""The only place where parts are chosen and joined. ``controller`` joins them; ``target`` says what the target is
given."""
