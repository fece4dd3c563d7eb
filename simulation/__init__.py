"""Seeded simulations of the real core under a virtual clock: `simulation.balancing` and `simulation.faults`."""
