# The machine that builds: its own compiler and C library.
OPT = -O2
