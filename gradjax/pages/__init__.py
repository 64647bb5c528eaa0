"""A report as one HTML file that needs no network, and as CSV and LaTeX tables."""
