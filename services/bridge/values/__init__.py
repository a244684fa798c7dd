"""Tensors, texts and JSON values, each as the protocols write them. Pure."""
