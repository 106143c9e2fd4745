"""The way of one call: planned, asked about, run, read."""
