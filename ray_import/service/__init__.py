"""The service: imports are accepted over HTTP, queued in a table, and executed by worker processes."""
