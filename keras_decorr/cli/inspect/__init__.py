"""`keras-decorr inspect`: the command and its report."""
