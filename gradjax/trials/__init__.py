"""Trains one trial or many in memory, as one compiled program with lanes."""
