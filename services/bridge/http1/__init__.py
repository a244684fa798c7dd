"""HTTP/1.1 over unix sockets, as a client and as a server.

uvicorn and aiohttp were measured: docs/decisions/010-the-bridge-keeps-its-own-http.md.
"""
