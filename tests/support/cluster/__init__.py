"""Ray clusters, re-imports and dials for tests and benchmarks."""
