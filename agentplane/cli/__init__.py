"""The command line: parse, call, render. Data on stdout, people on stderr. Every import is as late as it can be."""
