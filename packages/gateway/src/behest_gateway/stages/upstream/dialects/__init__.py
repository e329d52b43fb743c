"""How providers speak, one file per dialect: bytes in, values out, no I/O."""
