"""The types that travel between the stages. Nothing here does I/O."""
