"""What everything else is built on: errors, files, the tables of kinds, networks and recipes, tensor operations."""
