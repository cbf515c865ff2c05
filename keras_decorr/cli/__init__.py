"""The command `keras-decorr`: a file for each of its subcommands, entered in `main.py`."""
