"""Specifies how a directory on another machine is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk import filesystems
from otel_polar.delivery.disk.files import OutboxDirectory
from otel_polar.delivery.disk.filesystems import filesystem_of, network_filesystem
from otel_polar.delivery.notices import Notices

if TYPE_CHECKING:
    from pathlib import Path

# Lines as kernels of different machines gave them.
MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resv_strict,resuid=65534,resgid=65534
25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24684092k
120 27 0:52 / /mnt/nfs rw,relatime shared:61 - nfs4 10.0.0.5:/export rw,vers=4.2,rsize=1048576,hard,proto=tcp
121 27 0:53 / /mnt/nfs3 rw,relatime shared:62 master:7 - nfs 10.0.0.5:/old rw,vers=3,local_lock=none
122 27 0:54 / /mnt/share rw,relatime - cifs //server/share rw,vers=3.1.1,cache=strict
123 27 0:55 / /home/jane/My\040Files rw,nosuid,nodev,relatime shared:63 - fuse.sshfs jane@host:/ rw,user_id=1000
124 27 0:56 / /mnt/c rw,noatime - 9p C:\134 rw,dirsync,aname=drvfs;path=C:\;uid=1000
125 120 8:1 / /mnt/nfs/local rw,relatime shared:64 - xfs /dev/sda1 rw,attr2,inode64
126 27 0:57 / /net rw,relatime shared:65 - autofs systemd-1 rw,fd=38,pgrp=1,timeout=0,minproto=5
127 126 0:58 / /net rw,relatime shared:66 - nfs4 10.0.0.6:/net rw,vers=4.1
128 27 0:59 /srv /mnt/efs rw,relatime - nfs4 127.0.0.1:/ rw,vers=4.1,port=20049
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("/", "ext4", id="the root"),
        pytest.param("/home/jane/.local/state", "ext4", id="nothing nearer than the root"),
        pytest.param("/mnt/nfs", "nfs4", id="the mount point itself"),
        pytest.param("/mnt/nfs/outbox", "nfs4", id="below it"),
        pytest.param("/mnt/nfs3/outbox", "nfs", id="a name that begins like another"),
        pytest.param("/mnt/nfsx", "ext4", id="a name that only begins like it"),
        pytest.param("/mnt/nfs/local/outbox", "xfs", id="the nearest counts"),
        pytest.param("/home/jane/My Files/outbox", "fuse.sshfs", id="a space is written as an octal number"),
        pytest.param("/mnt/c/outbox", "9p", id="fields behind the type may hold anything"),
        pytest.param("/net/outbox", "nfs4", id="the last one mounted lies on top"),
        pytest.param("/mnt/efs", "nfs4", id="a part of a file system"),
        pytest.param("/mnt/share/a/b/c", "cifs", id="far below it"),
    ],
)
def test_the_nearest_mount_point_says_what_a_path_is_on(path: str, kind: str) -> None:
    """As the kernel resolves it."""
    assert filesystem_of(path, MOUNTS) == kind


@pytest.mark.parametrize("mounts", ["", "garbage\n\n - \n1 2 3 - ext4\n", "22 27 0:21 / /proc rw - proc proc rw\n"])
def test_a_text_that_says_nothing_of_a_path_is_no_error(mounts: str) -> None:
    """A sandbox may show anything under that name."""
    assert filesystem_of("/home", mounts) is None


def test_only_network_file_systems_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on a disk of this machine is nobody's concern."""
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(filesystems, "_MOUNTS", str(mounts))

    assert network_filesystem(tmp_path) is None, "nobody tells"
    mounts.write_text(MOUNTS)
    assert network_filesystem(tmp_path) is None
    mounts.write_text(f"{MOUNTS}129 27 0:60 / {tmp_path} rw,relatime - ceph 10.0.0.7:/ rw\n")
    assert network_filesystem(tmp_path / "outbox") == "ceph"


def test_an_outbox_on_a_network_file_system_is_warned_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It works on a good day; whoever reads the line can still choose a disk."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:60 / {tmp_path} rw,relatime - nfs4 10.0.0.7:/ rw\n")
    monkeypatch.setattr(filesystems, "_MOUNTS", str(mounts))
    directory = OutboxDirectory(tmp_path / "outbox" / "sandbox-aaaaaaaaaaaa", Notices())

    for _ in range(2):
        directory.open_own().release()

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"OTEL_POLAR_OUTBOX_DIR) is {tmp_path / 'outbox'}, on a network file system (nfs4)" in record.getMessage()
