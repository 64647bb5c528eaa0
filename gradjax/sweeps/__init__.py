"""Sweeps: spaces, rounds of trials, and their crash-safe execution."""
