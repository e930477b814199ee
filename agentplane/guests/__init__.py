"""Guests: what a virtual machine is made of, how QEMU is told, and how its results are read. Pure; opens nothing."""
