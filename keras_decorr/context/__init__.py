"""What a training step opens around its forward passes: the samples it collects, and a rule's hooks."""
