"""Result folders: of one kind, and locked."""
