"""What engineers do at a bus: find meters, watch them, examine a line, sign off a meter."""
