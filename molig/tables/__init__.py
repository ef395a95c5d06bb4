"""Writing tables: CSV and Parquet, whole or in parts that an interrupted run goes on from."""

from molig.tables.parts import PartNote, Parts
from molig.tables.writers import OutputTable

__all__ = ["OutputTable", "PartNote", "Parts"]
