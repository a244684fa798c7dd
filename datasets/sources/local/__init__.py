"""What the kind `local` is made of.

walk.py     everything below a folder, for a plan
openat.py   opens names below a directory without ever leaving it
"""
