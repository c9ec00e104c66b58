"""The only place where parts are chosen and joined: ``controller`` joins them, ``containers`` says what a replica is
started with."""
