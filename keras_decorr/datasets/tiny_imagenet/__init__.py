"""Tiny ImageNet as a data set of tensorflow-datasets."""
