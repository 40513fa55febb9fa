"""The web processes: they validate a request and write a row, and do no work."""
