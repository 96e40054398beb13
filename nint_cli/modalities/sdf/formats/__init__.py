"""Readers of mesh files, one module per format.

Each has a `read` that takes the file's bytes and gives its parts, corners and all, in double
precision. They are ours because trimesh's lose what files of phones, scanners and CAD programs
have: concave polygons, lists of mixed lengths, normalised integers, sparse accessors, byte order
marks.
"""
