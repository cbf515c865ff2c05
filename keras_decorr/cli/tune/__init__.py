"""`keras-decorr tune`: the command, its configuration, the search and its report."""
