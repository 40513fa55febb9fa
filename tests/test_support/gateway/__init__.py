"""Tests of the stand-in for Supabase."""
