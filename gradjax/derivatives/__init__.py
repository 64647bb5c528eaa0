"""Derivatives: checked against differences of the loss, and through whole runs."""
