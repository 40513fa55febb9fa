"""A Postgres, over its own protocol or as a Supabase project: one set of SQL functions for both."""
