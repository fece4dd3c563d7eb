"""Benchmarks: the cost of clustersql beside the raw driver, measured in one run."""
