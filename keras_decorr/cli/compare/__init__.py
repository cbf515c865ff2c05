"""`keras-decorr compare`: the command, its configuration, its runs and its report."""
