"""The process of the fault proxies: ``python -I -S``, the standard library and nothing of the rest of this package.

A process of its own, because a driver may hold Python's global lock while it waits for an answer: a proxy in the
threads of the program under test could then not pass that answer on, and both would wait for ever.  One serves all
proxies of a program, so that only the first costs a start.

* `faults`: what may pass, as it was ordered.  No I/O.
* `link`: one client's connection and the one to the server behind it.
* `listener`: one proxy, a port with its links and the verbs that act on them.
* `program`: the selector loop, and the channel on which the verbs come (`clustersql.testing.channel` is its other end).
"""
