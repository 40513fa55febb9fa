"""Measurements of the importer: exports of any size, and what importing them costs."""
