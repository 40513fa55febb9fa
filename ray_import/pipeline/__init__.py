"""The import itself: batches, who works on them, what is counted. Knows nothing of Ray."""
