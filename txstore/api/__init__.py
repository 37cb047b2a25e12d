"""The REST API: JSON to requests of the store, replies and errors of the store to JSON."""
