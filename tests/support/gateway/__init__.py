"""What the tests have in the place of Supabase: a real Postgres, and a stand-in for the gateway in front of it."""
