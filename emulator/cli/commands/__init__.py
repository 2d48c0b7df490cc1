"""One module per command; each exposes ``run``, which returns an exit status."""
