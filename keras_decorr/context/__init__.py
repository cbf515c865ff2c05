"""State of a running training step: the samples it collects, and the hooks of its learning rule."""
