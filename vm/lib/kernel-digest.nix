# The sha256 that a kernel package must have. The locked version: what the lock says. Another version,
# which fetch-kernel.sh took because the locked one had left the archive: what it has.
kernelDeb:
let
  lock = builtins.fromJSON (builtins.readFile ../kernel.lock.json);
  locked = "${lock.package}_${lock.version}_amd64.deb";
in
if builtins.elem (baseNameOf (toString kernelDeb)) [ "" locked ] then lock.sha256
else builtins.hashFile "sha256" kernelDeb
