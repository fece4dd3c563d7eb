"""One pool, between the booking and the two APIs: everything but the waiting."""
