"""Who is calling: a bearer token becomes a caller, or a 401 that says what to do."""
