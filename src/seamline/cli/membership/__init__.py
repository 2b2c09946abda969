"""Membership on the command line: tokens given, shown and used."""
