"""What a statement's text proves, sets and leaves behind."""
