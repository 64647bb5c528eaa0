"""Sweeps: spaces, points, rounds of trials, and their crash-safe execution."""
