"""One file an architecture; ``encoder`` is what they share."""
