"""The management plane, one noun a file. What it changes takes effect by publishing a snapshot, never otherwise."""
