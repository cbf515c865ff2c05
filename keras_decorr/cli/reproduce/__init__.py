"""`keras-decorr reproduce`: the command, its grids of comparisons, and the claims it checks."""
