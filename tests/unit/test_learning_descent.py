"""The lowest point of a function, against SciPy's L-BFGS-B."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der
from scipy.special import expit

from label_studio_al.learning.descent import Loss, Rules, lowest
from label_studio_al.learning.types import Array


def valley(at: Array) -> tuple[float, Array]:
    return float(rosen(at)), rosen_der(at)


def regression(at: Array) -> tuple[float, Array]:
    random = np.random.default_rng(0)
    X, y = random.normal(size=(80, len(at))) * np.geomspace(0.1, 20, len(at)), random.integers(2, size=80)
    raw = X @ at
    return float((np.logaddexp(0, raw) - y * raw).sum() + at @ at / 2), X.T @ (expit(raw) - y) + at


def scipys(loss_of: Loss, begin: Array, rules: Rules) -> Array:
    options = {
        "maxiter": rules.most_steps,
        "maxcor": rules.n_remembered,
        "ftol": rules.least_fall,
        "gtol": rules.least_slope,
    }
    return np.asarray(minimize(loss_of, begin, jac=True, method="L-BFGS-B", options=options).x)


@pytest.mark.parametrize("loss_of", [valley, regression])
@pytest.mark.parametrize("most_steps", [1, 2, 7, 30])
def test_every_step_is_scipys(loss_of: Loss, most_steps: int) -> None:
    """Of the last moves as many count as are to be remembered, and no more."""
    begin, rules = np.random.default_rng(1).normal(size=20), Rules(most_steps, 4, 0.0, 0.0)
    np.testing.assert_allclose(lowest(loss_of, begin, rules), scipys(loss_of, begin, rules), atol=1e-6)


@pytest.mark.parametrize("rules", [Rules(500, 6, 1e-3, 0.0), Rules(500, 6, 0.0, 0.5)])
def test_it_ends_where_scipys_ends(rules: Rules) -> None:
    begin = np.random.default_rng(2).normal(size=20)
    found = lowest(regression, begin, rules)
    np.testing.assert_allclose(found, scipys(regression, begin, rules), atol=1e-6)
    assert np.abs(found - lowest(regression, begin, Rules(500, 6, 0.0, 1e-9))).max() > 1e-6


def test_lowest_point_is_found_to_rounding() -> None:
    found = lowest(valley, np.zeros(5), Rules(1_000, 6, 0.0, 0.0))
    np.testing.assert_allclose(found, np.ones(5), atol=1e-7)


def test_nothing_to_be_found_is_nothing() -> None:
    assert lowest(lambda at: (0.0, at), np.zeros(0), Rules(40, 6, 1e-5, 1e-3)).shape == (0,)
