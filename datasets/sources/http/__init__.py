"""What the kind `http` is made of.

probe.py           what a server says of a file before it is read; digest_headers.py its digests
listed.py          files by name: those of a list, or a single one
filelist.py        reads a list of files; checksum_lists.py a line of it
archive.py         the members of an archive as files
"""
