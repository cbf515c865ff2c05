"""Results folders: checks, locks, and errors of a full disk."""
