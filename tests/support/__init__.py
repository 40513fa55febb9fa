"""What tests and benchmarks share: generated exports, stand-ins for servers, processes and dials."""
