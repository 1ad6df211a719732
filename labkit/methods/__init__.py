"""Methods beyond the standard recipe: adaptive weights, cascades, pruning, exported files."""
