"""``clustersql top``: a live screen of clusters, of a file's or of programs that run elsewhere."""
