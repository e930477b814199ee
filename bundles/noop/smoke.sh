#!/bin/sh
# Does nothing, successfully: what is left is the cost of a run itself.
exit 0
