"""The report: one HTML page with videos, tables, plots and curves of finished runs."""
