"""Pure: values and functions.  No clock, randomness, threads, sockets, logging or drivers; `now` and chance are
arguments.
"""
