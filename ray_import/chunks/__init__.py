"""From a conversation's messages to the chunks that are stored (extraction.md §6)."""
