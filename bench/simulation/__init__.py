"""Seeded simulation of the real core under a virtual clock: balancing (this package) and faults (`bench.simulation.faults`)."""
