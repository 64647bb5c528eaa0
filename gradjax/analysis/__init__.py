"""Functions from arrays to arrays that interpret results; no files and no figures."""
