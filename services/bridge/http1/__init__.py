"""HTTP/1.1 over unix sockets, as a client and as a server."""
