"""What the kind `nfs` is made of.

options.py    an export, as people write it
mounts.py     mounts exports where the console may; mountinfo.py says what is mounted
body.py       the bytes of a file
timeouts.py   calls that may hang in the kernel
"""
