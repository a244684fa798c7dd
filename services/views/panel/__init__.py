"""The pages of the test panel: for tensors and for text."""
