"""Methods beyond the standard recipe: adaptive augmentation, cascades, pruning, exported files."""
