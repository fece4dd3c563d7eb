"""What an error proves, what may follow, and the open transaction."""
