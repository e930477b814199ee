# The reference guest: busybox alone is enough to prove what the guest promises.
_: {
  environment.LANG = "C.UTF-8";
}
