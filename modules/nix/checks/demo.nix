# `nix run .#demo` on a host that knows nothing of us: the whole story, without a network.
{ pkgs, agentplane, ... }:
{
  name = "agentplane-demo";
  nodes.visitor = {
    nix.nixPath = [ "nixpkgs=${pkgs.path}" ];
    nix.settings = { experimental-features = [ "nix-command" "flakes" ]; substituters = pkgs.lib.mkForce [ ]; };
    system.extraDependencies = with pkgs; [ pkgsStatic.busybox erofs-utils linuxPackages.kernel cpio lz4 stdenv python3 ];
    virtualisation = { memorySize = 4096; diskSize = 8192; writableStore = true; };
  };

  testScript = ''
    said = visitor.succeed("${import ../demo.nix { inherit pkgs agentplane; }} --down", timeout=3600)
    assert "10. Where to look next" in said, said
  '';
}
