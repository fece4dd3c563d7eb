"""What one cluster knows of its nodes and asks of them.  It has a clock, chance, a lock and a log; it never waits and
starts nothing.
"""
