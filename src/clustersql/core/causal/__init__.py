"""Reading what was written, on any node: positions that travel, and who is known to have them.  No clock, no I/O."""
