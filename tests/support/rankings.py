"""Rankings to try: short ones with many ties."""

import numpy as np
from hypothesis import strategies as st

LEVELS = [-1.0, -0.5, 0.0, 0.25, 2.0]


@st.composite
def rankings(draw, max_size=7, both_classes=False):
    """Labels and scores of a few molecules, most of them tied."""
    smallest = 2 if both_classes else 1
    scores = draw(st.lists(st.sampled_from(LEVELS), min_size=smallest, max_size=max_size))
    labels = draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=len(scores), max_size=len(scores)))
    if both_classes:
        labels[:2] = 1.0, 0.0
    return np.array(labels), np.array(scores)
