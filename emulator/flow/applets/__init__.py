"""One module per applet, all of one shape: the YAML's model, then ``run``."""
