"""Printed progress, and the summary, the table and the pictures of the results."""
