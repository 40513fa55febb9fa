"""Chats and steps for tests and benchmarks of the profile."""
