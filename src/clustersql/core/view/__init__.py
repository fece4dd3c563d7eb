"""What is believed of the nodes, and how news change it."""
