# Who may connect to the sample fleet's bus. Public keys are no secret; these belong to nobody: put in your own
# (`nk -gen user -pubout`, or the ones that `agentplane stack up` makes). Permissions as agentplane/bus/accounts.py.
let
  user = nkey: publish: subscribe: { inherit nkey; permissions = { publish.allow = publish; subscribe.allow = subscribe; }; };
  executor = name: nkey: user nkey
    (map (subject: "agentplane-executor.${name}.${subject}") [ "report" "heartbeat" "log.>" ] ++ [ "_INBOX.>" ])
    ([ "_INBOX.${nkey}.>" ] ++ map (subject: "agentplane-executor.${name}.${subject}") [ "wake" "artifact" ]);
in
[
  (executor "exec-a" "UDURFQ2FDASVNH3KDDPVGUYYBXDP5GV6NPDOQPLJSFJCWXL5TX4O43IY")
  (executor "exec-b" "UC3GUVQ4WICM75YL4SLPPOPTTQQW7NSQVKDQAEH6BO5ETCL3QZ6RFI43")
]
