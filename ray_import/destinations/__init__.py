"""Where the rows go, and what a destination remembers of imports."""
