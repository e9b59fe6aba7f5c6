"""Tell whether a directory lies on a network file system, where SQLite must not live.

WAL needs memory shared between processes and locks that work; NFS, SMB and FUSE mounts give
neither across machines, and a cache damaged that way is noticed too late.
"""

from __future__ import annotations

import sys
from pathlib import Path

_NETWORK = frozenset(
    (
        *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "gfs", "gpfs"),
        *("glusterfs", "lustre", "macfuse", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "osxfuse"),
        *("prl_fs", "smb2", "smb3", "smbfs", "vboxsf", "vmhgfs", "webdav"),
    )
)
_MOUNTS = Path("/proc/self/mountinfo")
_DARWIN_NAME_OFFSET = 72
_DARWIN_NAME_LENGTH = 16


def network_file_system(directory: Path) -> str | None:
    """Return the type of the network file system `directory` is (or will be) on, else None.

    Unknown types count as local: refusing a disk nobody has heard of would shut people out.
    """
    # An absent directory will be made on the file system of its nearest ancestor.
    place = next(p for p in (directory, *directory.parents) if p.exists())
    kind = _darwin_type(place) if sys.platform == "darwin" else _linux_type(place)
    is_network = kind in _NETWORK or kind.startswith("fuse.") or kind == "fuse"
    return kind if is_network else None


def mount_type(mountinfo: str, directory: str) -> str:
    """Return the file system's type of the mount that holds an absolute, resolved directory.

    `mountinfo` is the text of /proc/self/mountinfo, see proc(5). The last of several mounts
    at one place hides the earlier ones. Types look like `ext4`, `nfs4`, `fuse.sshfs`.
    """
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split()
        if not separator or len(fields) < 5:
            continue
        point = _unescaped(fields[4])
        holds = directory == point or directory.startswith(point.rstrip("/") + "/")
        if holds and len(point) >= best:
            best, kind = len(point), right.split()[0]
    return kind


def _linux_type(directory: Path) -> str:
    try:
        mountinfo = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    return mount_type(mountinfo, str(directory.resolve()))


def _unescaped(field: str) -> str:
    """Undo mountinfo's octal escapes of space, tab, newline and backslash."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escape, character)
    return field


def _darwin_type(directory: Path) -> str:
    """Ask statfs(2); its 64-bit form has `f_fstypename` at byte 72."""
    import ctypes

    libc = ctypes.CDLL(None)
    statfs = getattr(libc, "statfs$INODE64", None) or libc.statfs
    buffer = ctypes.create_string_buffer(4096)
    if statfs(str(directory).encode(), buffer) != 0:
        return ""
    name = buffer.raw[_DARWIN_NAME_OFFSET : _DARWIN_NAME_OFFSET + _DARWIN_NAME_LENGTH]
    return name.split(b"\0", 1)[0].decode("ascii", "replace")
