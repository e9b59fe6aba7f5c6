"""A disk that hangs, fails and goes away: a mirror of a real directory over FUSE.

What a file suffers is in its name: `hang` never answers a read, `late` none but those of the
first to open it, `eio` fails every read, `once` the first one, `short` ends at half its size.
Killing the server makes the whole mount
answer "Transport endpoint is not connected", as a share does whose server is gone.

The server speaks the kernel's protocol by itself (`linux/fuse.h`, version 7.31): a dozen
requests, so that no library and no setuid helper is needed, only root and /dev/fuse.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

import pytest

_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<6Q10I")
_READ = struct.Struct("<QQII")
_REQUEST_BYTES = 1 << 20
_DIRECT = 1
"""FOPEN_DIRECT_IO: the kernel keeps nothing, every read arrives here."""


class Kind(IntEnum):
    """What the kernel may ask for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    OPEN = 14
    READ = 15
    STATFS = 17
    RELEASE = 18
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42


class SickDisk:
    """A mounted mirror of `source` at `mount`; the server is a process of its own."""

    def __init__(self, source: Path, mount: Path) -> None:
        self.source = source
        self.mount = mount
        self._server = subprocess.Popen(
            [sys.executable, __file__, source, mount], stdout=subprocess.PIPE, text=True
        )
        assert self._server.stdout is not None
        self.refusal = self._server.stdout.readline().strip()
        """Why it could not be mounted, "" if it was."""

    def unplug(self) -> None:
        """Let the server die: from now on everything fails, and what hung fails too."""
        self._server.send_signal(signal.SIGKILL)
        self._server.wait()

    def close(self) -> None:
        """Unmount, whatever still uses it."""
        self.unplug()
        assert self._server.stdout is not None
        self._server.stdout.close()
        if not self.refusal:
            subprocess.run(["umount", "--lazy", self.mount], check=True)
        self.mount.rmdir()


@pytest.fixture
def sick_disk(tmp_path: Path) -> Iterator[SickDisk]:
    """Return a sick disk that mirrors an empty directory: write into its `source`."""
    source = tmp_path / "source"
    source.mkdir()
    disk = SickDisk(source, Path(tempfile.mkdtemp(prefix="xintu-sick-")))
    try:
        if disk.refusal:
            pytest.skip(f"this machine does not let us mount over FUSE: {disk.refusal}")
        yield disk
    finally:
        disk.close()


# ---- the server ------------------------------------------------------------------------------


class Server:
    """Answers the kernel's requests about a mirrored directory."""

    def __init__(self, device: int, source: bytes) -> None:
        self._device = device
        self._paths: dict[int, bytes] = {1: source}
        self._numbers: dict[bytes, int] = {source: 1}
        self._reads: dict[int, int] = {}
        self._opened: dict[int, int] = {}
        self._hanging: set[int] = set()

    def serve(self) -> None:
        """Answer until the file system is unmounted."""
        while True:
            try:
                request = os.read(self._device, _REQUEST_BYTES)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                return
            _, kind, unique, node, *_ = _IN.unpack_from(request)
            try:
                answer = self._answer(kind, unique, node, request[_IN.size :])
            except OSError as error:
                self._reply(unique, b"", error.errno or errno.EIO)
            else:
                if answer is not None:
                    self._reply(unique, answer)

    def _answer(  # noqa: C901 - a table
        self, kind: int, unique: int, node: int, body: bytes
    ) -> bytes | None:
        """Return what to reply; None: nothing, now or for ever."""
        match kind:
            case Kind.INIT:
                return struct.pack("<IIIIHHIIHH8I", 7, 31, 0, 0, 16, 12, 4096, 1, 0, 0, *[0] * 8)
            case Kind.LOOKUP:
                return self._look_up(self._paths[node] + b"/" + body.rstrip(b"\0"))
            case Kind.GETATTR:
                return struct.pack("<QII", 0, 0, 0) + _attributes(self._paths[node])
            case Kind.OPEN | Kind.OPENDIR:
                self._opened[node] = self._opened.get(node, 0) + 1
                return struct.pack("<QII", node, _DIRECT, 0)
            case Kind.READ:
                return self._read(unique, node, *_READ.unpack_from(body)[1:3])
            case Kind.READDIR:
                return self._list(node, *_READ.unpack_from(body)[1:3])
            case Kind.STATFS:
                return bytes(80)
            case Kind.RELEASE | Kind.RELEASEDIR | Kind.FLUSH:
                return b""
            case Kind.INTERRUPT:
                self._let_go(*struct.unpack_from("<Q", body))
                return None
            case Kind.FORGET | Kind.BATCH_FORGET | Kind.DESTROY:
                return None
            case _:
                raise OSError(errno.ENOSYS, "not needed")

    def _let_go(self, interrupted: int) -> None:
        """End a hanging read whose process is being killed, as a share does."""
        if interrupted in self._hanging:
            self._hanging.discard(interrupted)
            self._reply(interrupted, b"", errno.EINTR)

    def _look_up(self, path: bytes) -> bytes:
        attributes = _attributes(path)
        number = self._numbers.setdefault(path, len(self._numbers) + 1)
        self._paths[number] = path
        return struct.pack("<QQQQII", number, 0, 0, 0, 0, 0) + attributes

    def _read(self, unique: int, node: int, offset: int, size: int) -> bytes | None:
        path = self._paths[node]
        name = path.rpartition(b"/")[2]
        self._reads[node] = self._reads.get(node, 0) + 1
        if b"hang" in name or (b"late" in name and self._opened[node] > 1):
            self._hanging.add(unique)
            return None
        if b"eio" in name or (b"once" in name and self._reads[node] == 1):
            raise OSError(errno.EIO, "it is sick")
        with open(path, "rb") as file:  # noqa: PTH123 - Path knows no bytes
            whole = file.read()
        if b"short" in name:
            whole = whole[: len(whole) // 2]
        return whole[offset : offset + size]

    def _list(self, node: int, offset: int, size: int) -> bytes:
        listing = b""
        names = sorted(os.listdir(self._paths[node]))  # noqa: PTH208 - Path knows no bytes
        for number, name in enumerate(names[offset:], offset + 1):
            entry = struct.pack("<QQII", number, number, len(name), 0) + name
            entry += bytes(-len(entry) % 8)
            if len(listing) + len(entry) > size:
                break
            listing += entry
        return listing

    def _reply(self, unique: int, body: bytes, error: int = 0) -> None:
        try:
            os.write(self._device, _OUT.pack(_OUT.size + len(body), -error, unique) + body)
        except OSError as late:
            if late.errno != errno.ENOENT:  # whoever asked is gone
                raise


def _attributes(path: bytes) -> bytes:
    status = os.lstat(path)
    times = (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
    return _ATTRIBUTES.pack(
        *(status.st_ino, status.st_size, status.st_blocks),
        *(time // 1_000_000_000 for time in times),
        *(time % 1_000_000_000 for time in times),
        *(status.st_mode, status.st_nlink, status.st_uid, status.st_gid, 0, 4096, 0),
    )


def _mount(device: int, target: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode={stat.S_IFDIR:o},user_id=0,group_id=0,allow_other"
    if libc.mount(b"sick", target, b"fuse.sick", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main() -> None:
    """Mount and serve; the first line on stdout is empty, or says why that cannot be."""
    source, target = map(os.fsencode, sys.argv[1:])
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
        _mount(device, target)
    except OSError as error:
        sys.stdout.write(f"{error.strerror}\n")
        return
    sys.stdout.write("\n")
    sys.stdout.flush()
    Server(device, source).serve()


if __name__ == "__main__":
    main()
