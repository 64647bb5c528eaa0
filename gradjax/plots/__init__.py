"""Pictures of a run. One figure per file; each gives the bytes of a PNG."""
