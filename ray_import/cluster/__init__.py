"""Ray, and nothing but: the only package that knows it."""
