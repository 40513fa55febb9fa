"""The ways in which somebody could do the same import without ray_import, each as small and fast as it honestly can be.

All of them use the same rules and write the same rows into the same kind of database (`job.py`). What differs is how
the conversations come out of the file, and who works on them. `python -m benchmarks.compare` runs them.
"""
