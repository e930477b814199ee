# The smallest guest: nothing but its own smoke script.
_: { }
