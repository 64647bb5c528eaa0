"""Diagnostics: pure functions that measure a step of a run, or any loss."""
