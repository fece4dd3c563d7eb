"""One caller's connection: what both APIs know of it.  Nothing here waits or starts anything."""
