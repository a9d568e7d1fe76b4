"""The county's collector: takes points, keeps them, judges them and shows the verdicts."""

__version__ = "0.1.0"
