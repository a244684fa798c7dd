"""The parts of `make bench-gateway`: each measures one promise and gives tables."""
