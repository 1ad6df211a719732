"""What a trained model gets right and where it fails: scores, attributes, calibration, features."""
