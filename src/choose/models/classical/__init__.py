"""Linear models over fixed features, and settings that are chosen by cross-validation."""
