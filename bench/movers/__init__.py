"""The programs that `make bench-preheat` measures, each run as a process of its own: preheat.py and what is beside it."""
