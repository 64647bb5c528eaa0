"""Checks of gradients by differences, and derivatives of complete runs."""
