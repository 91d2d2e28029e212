"""What is measured of one candidate: robustness, learning curve, cost."""
