"""What the kernel and the GPU's driver tell of this machine and its processes."""
