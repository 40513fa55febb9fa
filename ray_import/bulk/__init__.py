"""Imports of many users at a time, on one pool of workers. Knows nothing of Ray."""
