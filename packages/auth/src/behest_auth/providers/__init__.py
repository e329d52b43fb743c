"""One file for each provider: how its tokens are recognised, and which of them may not mint. No I/O."""
