"""Seeded simulation of the real core under a virtual clock: balancing."""
