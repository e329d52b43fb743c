"""What is asked: bytes become a checked request for one model."""
