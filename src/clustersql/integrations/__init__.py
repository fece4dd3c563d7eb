"""Clusters for programs that are given a URL or a name of a backend, and no code."""
