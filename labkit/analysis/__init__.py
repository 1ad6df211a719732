"""Analysis of trained models: scores, image attributes, calibration, robustness, features."""
