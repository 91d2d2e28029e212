"""What a notebook and the command line call: plan, compare, export, and compare two studies."""
