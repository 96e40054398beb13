"""The colour of each rule that chooses coordinates."""

# Okabe and Ito's palette, told apart by colour-blind eyes too.
SLOT_COLOURS = {
    "ntk": (213, 94, 0),
    "residual": (86, 180, 233),
    "uniform": (240, 228, 66),
    "full": (240, 228, 66),
    "mutant": (240, 228, 66),
    "edge": (0, 158, 115),
    "anchor": (0, 158, 115),
    "survivor": (213, 94, 0),
    "mined": (204, 121, 167),
}
