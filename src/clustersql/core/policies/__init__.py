"""Which candidate comes first.  A policy is added here."""
