"""The pages of runs: the list, one run, what is done to them and what is taken away as a file."""
