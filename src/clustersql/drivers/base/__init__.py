"""What the adapters share: reading errors and connection states, sockets, the parts of a family."""
