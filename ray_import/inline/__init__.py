"""Imports in this process, without Ray: workers, and the guard against conversations that end the process."""
