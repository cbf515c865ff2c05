"""Experiments that can be repeated from one command."""
