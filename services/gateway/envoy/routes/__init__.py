"""Which request goes where: the doors, the virtual host of each service, and the refusals."""
