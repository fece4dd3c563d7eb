"""The commit guard: what became of a COMMIT whose answer was lost.  A token row is written with it, and is asked for
afterwards.
"""
