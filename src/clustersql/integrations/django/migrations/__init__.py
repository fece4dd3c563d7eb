"""The migrations of the application ``clustersql``."""
