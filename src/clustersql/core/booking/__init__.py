"""Which connection goes to whom, and what makes it ready."""
