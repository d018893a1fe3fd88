"""Command line, configuration, cache, files, hashing and provenance; nothing here knows the method."""
