"""``clustersql check``: everything that can be asked of a cluster before it is relied on."""
