"""``make faults``: real clusters, real faults, and what programs saw of them."""
