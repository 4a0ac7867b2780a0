"""The pieces that the unit files are put together from, with the reason for each line that is not plain."""

from __future__ import annotations

SERVICE_HEAD = """\
# ragd's daemon. `ragd service install` writes this file for a machine, `systemctl edit ragd` changes what it says.
# Its user must be allowed to read the watched folders: add its groups there ([Service] SupplementaryGroups=staff).

[Unit]
Description=ragd, a search index that equals its folders at every moment
After=local-fs.target network-online.target redis.service redis-server.service valkey.service
Wants=network-online.target
# Ten failures within ten minutes need a person, not one more try.
StartLimitIntervalSec=600
StartLimitBurst=10
"""

USER_NOTE = """\
# A person's own manager may not take away rights or mount anything, so what a system service is told of those
# (ProtectSystem, ProtectHome, PrivateTmp, PrivateDevices, CapabilityBoundingSet and their like) is left out here:
# ragd can read and write what you can. The rest holds.
"""

SERVICE_LIFE = """\
[Service]
Type=notify
NotifyAccess=main
ExecStart={program} run
# Says what is wrong and fails where the new configuration is refused; the old one goes on.
ExecReload={program} reload
# Fed while the committing thread gets on, and Redis and the workers live.
WatchdogSec=60
# A start that takes longer, since a large index is built anew, asks for more time as it goes.
TimeoutStartSec=300
Restart=on-failure
RestartSec=5
# A wrong configuration, a state folder in use or of another version: trying again changes nothing.
RestartPreventExitStatus=2 5 6
# The daemon ends its workers and its Redis itself, in order (ten seconds are theirs); what is left is killed.
KillMode=mixed
TimeoutStopSec=30
"""

WORKER_HEAD = """\
# A worker for a ragd daemon, here or elsewhere; its name says what it does: ragd-worker@embed, @extract or @train.
# It works for the daemon whose Redis /etc/ragd names (RAGD_REDIS__URL in /etc/ragd/environment, or redis.url in
# ragd.toml), else for the daemon of this machine. Tell that daemon to start fewer itself, e.g. [workers] embed = 0.

[Unit]
Description=ragd %i worker
After=network-online.target ragd.service redis.service redis-server.service valkey.service
Wants=network-online.target
# It keeps nothing that could break: it tries until its Redis is there.
StartLimitIntervalSec=0
"""

WORKER_LIFE = """\
[Service]
Type=exec
ExecStart={program} worker %i
Restart=always
RestartSec=5
RestartPreventExitStatus=2
# SIGTERM lets the work in hand finish, a run saves a checkpoint; whoever is killed only costs a delay.
KillMode=mixed
TimeoutStopSec=30
"""

TRAIN_DROP_IN = """\
# Training stands back for everything else: see ragd-train.slice. A GPU needs its devices:
# `systemctl edit ragd-worker@train`, then [Service], PrivateDevices=no and DevicePolicy=auto.
[Service]
Slice=ragd-train.slice
CPUSchedulingPolicy=batch
Nice=15
# A checkpoint may take a while to write.
TimeoutStopSec=90
"""

TRAIN_SLICE = """\
# What training may take of this machine while others want it too. Runs get in by ragd-worker@train.service;
# tell the daemon to leave them to it: [learn] workers = 0.

[Unit]
Description=ragd training

[Slice]
# A tenth of what other work weighs (100): all of an idle machine, little of a busy one.
CPUWeight=10
IOWeight=10
# Slowed down above this, so that it never drives others into swap; its own limit is learn.memory_mb.
MemoryHigh=60%
TasksMax=2048
"""

CAGE = """\
# It reads the folders and writes its state, nothing else.
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateMounts=yes
# A GPU needs this off: `systemctl edit`, PrivateDevices=no and DevicePolicy=auto.
PrivateDevices=yes
DevicePolicy=closed
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
CapabilityBoundingSet=
AmbientCapabilities=
RemoveIPC=yes
"""

MODEST = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
# Memory holds texts of documents; no core file shall.
LimitCORE=0
"""

CALLS = """\
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
# What a trainer's process binds itself by, to its own folder; older versions of systemd know no group that has them.
SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallErrorNumber=EPERM
"""

SYSUSERS = """\
# The user that ragd.service runs as.
u {user} - "ragd daemon" {state}
"""

TMPFILES_CONFIG = """\
# What the user that ragd.service runs as may read of /etc, and what only root may.
d /etc/ragd 0750 root {user} -
z /etc/ragd/ragd.toml 0640 root {user} -
z /etc/ragd/environment 0600 root root -
"""

TMPFILES_STATE = """\
# Its home, and where it may trust plugin files.
d {state} 0700 {user} {user} -
d {state}/.config 0700 {user} {user} -
d {state}/.config/ragd 0700 {user} {user} -
d {state}/.config/ragd/plugins 0700 {user} {user} -
"""
