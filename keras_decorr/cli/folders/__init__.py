"""Result folders: written whole or not at all, locked, and checked for room."""
