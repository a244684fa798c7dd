"""What the kind `huggingface` is made of: the Hub's API through its official client, its files through net/client.py.

transport.py  carries the official client's requests over sockets of net/sockets.py
client.py     the official client, bound to one repository and one token
errors.py     what the Hub answers, in words
patterns.py   include and exclude
tree.py       listings at a commit
files.py      bytes at a commit
"""
