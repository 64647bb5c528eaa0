"""Pictures, one figure per file. Each function returns the bytes of a PNG or a GIF."""
