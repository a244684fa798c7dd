"""The content-addressed store of this node.

trees.py      publishes a tree, and finds it again; building.py puts one together
verify.py     reads files again
upkeep.py     flushing, reading again, making room
"""
