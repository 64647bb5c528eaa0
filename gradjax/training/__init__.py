"""The training step, the one compiled loop around it, and evaluation; pure."""
