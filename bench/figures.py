"""Small statistics. A percentile is a measured value, never one between two."""

import math


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def median(values):
    return percentile(values, 50)


def summary(values, digits=4):
    """What goes into the JSON file: the figures of the table and the values behind them."""
    return {
        "p50": round(median(values), digits),
        "p99": round(percentile(values, 99), digits),
        "max": round(max(values), digits),
        "min": round(min(values), digits),
        "values": [round(value, digits) for value in values],
    }
