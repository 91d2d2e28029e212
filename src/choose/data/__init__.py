"""Read labelled sets, split them, add noise and perturb them."""
