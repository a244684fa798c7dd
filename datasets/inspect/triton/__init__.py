"""Models for Triton: layout.py says whether a folder is one, and what Triton misses in it.

names.py        what a folder is by the names in it, for directories and listings
versions.py     which versions Triton loads
ensembles.py    whether an ensemble fits its models; repository.py which models a service loads
compare.py      config.pbtxt beside an ONNX model, compare_filled.py what Triton fills itself
suggest.py      a complete config.pbtxt for an ONNX model
summary.py      all of this in words, for the report
"""
