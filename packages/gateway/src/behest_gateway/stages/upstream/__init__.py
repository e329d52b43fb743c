"""The provider: an attempt is sent, and its answer comes back as values."""
