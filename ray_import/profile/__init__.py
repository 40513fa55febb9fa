"""The profile of a user: what Claude can say of them from their own words, with the place where they said it."""
