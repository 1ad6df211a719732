"""The architectures, one module each, on a shared ``encoder``."""
