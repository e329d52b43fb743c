"""What callers see: the data plane, the token plane and the management plane over HTTP."""
