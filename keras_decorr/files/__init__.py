"""Writing files: whole or not at all, and with a clear error where the disk is full."""
