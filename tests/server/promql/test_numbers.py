"""Numbers are written as Prometheus writes them."""

from __future__ import annotations

import pytest

from watchkeeper.server.promql.numbers import plain_number, sample_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"), (-0.0, "-0"), (0.1, "0.1"), (1e20, "100000000000000000000"), (1e21, "1e+21"),
        (1e-6, "0.000001"), (1.5e-7, "1.5e-07"), (float("nan"), "NaN"), (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"), (1e-5, "0.00001"), (1.7976931348623157e308, "1.7976931348623157e+308"),
        (1e16, "10000000000000000"), (123456789.125, "123456789.125"),
    ],
)  # fmt: skip
def test_samples_use_the_shortest_text(value: float, text: str) -> None:
    """Exponents only below 1e-6 and from 1e21 on."""
    assert text == sample_text(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(8.0, "8"), (1e21, "1" + "0" * 21), (1e-7, "0.0000001"), (float("inf"), "+Inf")],
)
def test_labels_use_no_exponent(value: float, text: str) -> None:
    """As count_values writes them."""
    assert text == plain_number(value)
