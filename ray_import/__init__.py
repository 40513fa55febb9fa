"""ChatGPT exports become clean, searchable chunks in a database, on Ray."""

__version__ = "0.1.0"
