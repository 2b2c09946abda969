"""The paper's own figures, as far as its text states them; curves that it only draws are not read off."""

DOWNTIME_S = {
    "pause-resume": 6.0,
    "standby-container": 0.00098,
    "standby": 0.00098,
    "spawn-container": 1.9,
    "spawn": 0.6,
}
"""Fig. 11-13. The standby figure is an upper bound."""

INITIAL_MB = 763.1
ADDITIONAL_MB = {
    "pause-resume": "0",
    "standby-container": "763.1",
    "standby": "0",
    "spawn-container": "763.1 (during switching only)",
    "spawn": "0",
}
"""Table I."""

BEST_LAYER = {"vgg19": (17, 22), "mobilenetv2": (2, 35)}
"""Fig. 2 and 3: best cut at 20 and at 5 Mbit/s, in the layer numbers of Keras."""

ORDER = ("pause-resume", "spawn-container", "spawn", "standby-container", "standby")
"""From the longest downtime to the shortest."""
