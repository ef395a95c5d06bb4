"""molig: Molecular Integrated Gradients."""

__version__ = "0.1.0"
