"""What the kind `s3` is made of.

    place.py      where a bucket is, from the options of a dataset
    keys.py       keys of objects as paths: pure, and refuses what no folder may hold
    client.py     the official client, for listings and metadata; nothing of this machine's own settings reaches it
    sign.py       signatures of the many requests for contents
    words.py      what a server refuses, in words
    checksums.py  what a server says that a content is, and whether it is
"""
