"""Trains trials, one or many, as one compiled program over lanes; in memory."""
