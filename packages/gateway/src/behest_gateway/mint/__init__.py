"""The token plane: an API key is exchanged for a short-lived token of one user, and the JWKS says how to check it."""
