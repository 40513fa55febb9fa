"""The rules: from a conversation's raw bytes to the messages a person saw (extraction.md §2-§5)."""
