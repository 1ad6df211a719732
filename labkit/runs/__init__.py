"""The folder of a training: whose it is, who uses it, and what is saved in it."""
