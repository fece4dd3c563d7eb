"""``clustersql demo``: a real cluster, a workload, nodes frozen, killed and brought back, and the proof that nothing
was lost.
"""
