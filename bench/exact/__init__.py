"""Random models of every runtime, and the same rows in every form, for comparisons with the libraries themselves."""
