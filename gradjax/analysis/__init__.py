"""What records mean: arrays in, arrays out. Nothing here reads a file or draws."""
