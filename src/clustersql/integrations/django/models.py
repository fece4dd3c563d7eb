"""No model.  Only an application with this file is told that a migration begins (`apps`)."""
