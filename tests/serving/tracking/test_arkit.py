"""ARKit's weights: its own coefficients pass, the other vectors come near."""

import numpy as np

from facemodel.morphable.head import ARKIT_PREFIX, HeadModel
from serving.tracking.arkit import arkit_operator


def test_own_coefficients_pass_and_others_are_projected():
    head = HeadModel.load()
    names, operator = arkit_operator(head)
    assert len(names) == 52 and operator.shape == (len(head.expression), 52)
    targets = head.arkit_targets()[1].reshape(52, -1)
    kept = []
    for k, (name, vector) in enumerate(zip(head.expression_names, head.expression)):
        if name.startswith(ARKIT_PREFIX):
            assert operator[k, names.index(name.removeprefix(ARKIT_PREFIX))] == 1
            assert np.count_nonzero(operator[k]) == 1
        else:
            left = np.linalg.norm(vector.ravel() - operator[k] @ targets)
            kept.append(1 - left / np.linalg.norm(vector))
            assert np.abs(operator[k]).max() < 3
    assert len(kept) == 33 and min(kept) > 0 and np.mean(kept) > 0.2
