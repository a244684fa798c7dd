"""Brings the files of a plan into a staging directory.

copy.py           starts the streams, watches them and says how far they are
streams.py        the threads that fetch; pipelining.py asks ahead, requests.py joins pieces, buffers.py has the memory
assembly.py       one large file from its pieces; small_files.py a small one
speed.py          measures and limits
file_progress.py  the files one by one, for pages
"""
