"""The shim: one small supervisor process per run, in the manner of containerd-shim and conmon.

It imports the standard library only and starts in some 30 ms. It starts the program (QEMU, bubblewrap), drains its
streams into capped files, enforces the wall clock, and writes `outcome.json` last. The executor may die meanwhile;
the next one finds the shim by its lock, or its outcome by its file. If the shim dies, the program dies with it.
"""
