"""Archives as folders: what is in one, and the bytes of a member, without trusting what it says of itself.

blob.py     where an archive's bytes are: at a server that gives parts, or in a file of this node
spool.py    that file: archives that can only be read from the front are fetched and unpacked once
unpack.py   gzip, bzip2 and xz, with bounds
members.py  what is in an archive; tar.py and zip.py find out
"""
