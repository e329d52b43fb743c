"""What it came to: counting while it passes, and what is charged when it ends."""
