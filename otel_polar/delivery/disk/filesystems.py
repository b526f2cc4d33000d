"""Whether a directory lies on another machine: SQLite's log and the locks of files need a disk of this one.

The kernel tells in ``/proc/self/mountinfo`` (man 5 proc_pid_mountinfo)::

    36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - nfs4 server:/share rw,vers=4.2
                     │                           │
                     mount point                 type

Where there is no such file (macOS, Windows), nobody tells.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_MOUNTS: Final = "/proc/self/mountinfo"
_MOUNT_POINT: Final = 4
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")

NETWORK_TYPES: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "coda", "ncpfs", "ceph", "glusterfs", "lustre"),
        *("beegfs", "gfs2", "gpfs", "ocfs2", "orangefs", "panfs", "vboxsf", "wekafs"),
        *("fuse.sshfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse"),
        *("fuse.juicefs", "fuse.JuiceFS", "fuse.goofys", "fuse.blobfuse", "fuse.blobfuse2", "fuse.moosefs", "fuse.mfs"),
        *("fuse.mount-s3", "fuse.mountpoint-s3", "fuse.davfs2", "fuse.vmhgfs-fuse", "fuse.smbnetfs", "fuse.curlftpfs"),
    }
)


def network_filesystem(path: Path) -> str | None:
    """The type of the network file system that *path* is on, such as ``nfs4``; ``None`` for a disk of this machine."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 - no need for a Path
            mounts = file.read()
        resolved = str(path.resolve())
    except (OSError, RuntimeError):
        return None
    found = filesystem_of(resolved, mounts)
    return found if found in NETWORK_TYPES else None


def filesystem_of(path: str, mounts: str) -> str | None:
    """The type of the file system of an absolute *path*, by the text of mountinfo; ``None`` where that does not say."""
    longest = 0
    found = None
    for line in mounts.splitlines():
        mount, _, source = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) <= _MOUNT_POINT or not source:
            continue
        point = _ESCAPE.sub(_unescaped, fields[_MOUNT_POINT]).rstrip("/")
        # What is mounted later at the same place lies over what was there.
        if (path == point or path.startswith(f"{point}/")) and len(point) >= longest:
            longest, found = len(point), source.split(" ")[0]
    return found


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 8))
