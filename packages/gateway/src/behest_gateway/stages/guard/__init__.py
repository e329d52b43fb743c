"""What may be said: the place where guards look at a request before it is priced and sent."""
