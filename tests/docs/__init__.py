"""The documentation is held to be true: what can be run is run, what is generated is current, links lead somewhere."""
