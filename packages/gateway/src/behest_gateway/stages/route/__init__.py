"""Where it goes: a request becomes a plan of attempts, each with its price."""
