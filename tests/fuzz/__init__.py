"""Good exports, broken in every way that could be thought of, and what an import of them has to keep to.

`python -m tests.fuzz --count 10000` runs many; `test_mutations.py` runs a few of every operator.
"""
