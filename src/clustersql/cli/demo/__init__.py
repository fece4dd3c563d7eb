"""``clustersql demo``: a real cluster, a workload, nodes killed and brought back, and the proof that nothing was lost."""
