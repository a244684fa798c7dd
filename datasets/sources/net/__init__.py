"""The guarded HTTP client of all kinds that speak over a network.

sockets.py      opens every socket, to allowed servers only: allowlist.py, ip.py
client.py       HTTP/1.1 over them: connections.py, response.py, body.py
slow_server.py  ends connections that hardly send
url.py          what a URL must look like
errors.py       what servers answer and how connections fail, in words
"""
