"""What is known, as values ready for JSON.  No pool, no I/O."""
