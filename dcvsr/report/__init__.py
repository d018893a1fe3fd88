"""What a report's page shows, read from what runs left behind: pairs of videos, tables, curves."""
