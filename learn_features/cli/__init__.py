"""The command line; one module an area, each light to import."""
