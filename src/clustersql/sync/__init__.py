"""The blocking API: threads, locks and the clock around the pure core."""
