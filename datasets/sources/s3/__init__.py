"""What the kind `s3` is made of.

location.py   where a bucket is, from the options of a dataset
keys.py       keys of objects as paths: pure, and refuses what no folder may hold
client.py     the official client, for listings and metadata; nothing of this machine's own settings reaches it
listing.py    all below a prefix, for a plan; browsing.py one page of a folder
contents.py   the bytes of objects; signing.py signs for them
errors.py     what a server refuses, in words
checksums.py  what a server says that a content is, and whether it is
"""
