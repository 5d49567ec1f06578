"""A disk that loses power honestly: what was written and not flushed is gone after a cut.

An NBD server on a Unix socket, for one client (QEMU with cache=writeback). Writes stay in memory until
the client flushes, or writes with FUA. The Nth write may be the last: then the power is cut, and of
what was not flushed each sector of 4 KiB survives or not, by a seeded lot, as with a real disk (ext4's own
superblock has a checksum over 1 KiB, and does not bear to be torn).

NOR flash has no cache: each write is there when it is done, but of the last one only so many bytes as the
lot says.
"""

import os
import random
import socket
import struct
import threading

SECTOR = 4096
REQUEST, REPLY = 0x25609513, 0x67446698
READ, WRITE, CLOSE, FLUSH = 0, 1, 2, 3
FUA = 1 << 0  # of a command's flags
HAS_FLAGS, SENDS_FLUSH, SENDS_FUA = 1 << 0, 1 << 2, 1 << 3


class Disk:
    """The image in `path`, served at `address`. When the power is cut, on_cut is called once."""

    def __init__(self, path, address, on_cut=lambda: None, is_nor=False):
        self.is_nor = is_nor
        self.file = os.open(path, os.O_RDWR)
        self.size = os.fstat(self.file).st_size
        self.cache = {}  # number of a sector -> what was written and not flushed
        self.writes = self.flushes = 0
        self.cut_at = None  # the number of the write at which the power fails
        self.is_off = False
        self.on_cut = on_cut
        self.random = random.Random(0)
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address)
        self.listener.listen(1)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def cut_after(self, writes, seed):
        """The power fails at that many writes from now."""
        with self.lock:
            self.random = random.Random(seed)
            self.cut_at = self.writes + writes

    def cut(self):
        """The power fails now: of what was not flushed, some sectors are there and some are not."""
        with self.lock:
            self._cut()

    def _cut(self):
        if self.is_off:
            return
        self.is_off = True
        for number, data in self.cache.items():
            if self.random.random() < 0.5:
                os.pwrite(self.file, data, number * SECTOR)
        self.cache.clear()
        self.on_cut()

    def end(self):
        self.cut()
        self.listener.close()
        os.close(self.file)

    # The protocol: fixed newstyle negotiation, then simple replies.

    def _serve(self):
        try:
            self.peer, _ = self.listener.accept()
            self._negotiate()
            while not self.is_off and self._command():
                pass
        except (OSError, EOFError, struct.error):
            pass

    def _take(self, length):
        data = bytearray()
        while len(data) < length:
            more = self.peer.recv(min(length - len(data), 1 << 20))
            if not more:
                raise EOFError
            data += more
        return bytes(data)

    def _negotiate(self):
        flags = HAS_FLAGS | SENDS_FLUSH | SENDS_FUA
        self.peer.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
        self._take(4)
        while True:
            _, option, length = struct.unpack(">8sII", self._take(16))
            self._take(length)
            head = struct.pack(">QI", 0x3E889045565A9, option)
            if option in (6, 7):  # INFO, GO
                self.peer.sendall(head + struct.pack(">IIHQH", 3, 12, 0, self.size, flags))
                self.peer.sendall(head + struct.pack(">II", 1, 0))
                if option == 7:
                    return
            elif option == 1:  # EXPORT_NAME
                self.peer.sendall(struct.pack(">QH", self.size, flags) + bytes(124))
                return
            else:
                self.peer.sendall(head + struct.pack(">II", 0x80000001, 0))

    def _command(self):
        _, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", self._take(28))
        data = self._take(length) if kind == WRITE else b""
        answer = b""
        with self.lock:
            if self.is_off or kind == CLOSE:
                return False
            if kind == WRITE and self.is_nor:
                self.writes += 1
                is_last = self.cut_at is not None and self.writes >= self.cut_at
                os.pwrite(self.file, data[: self.random.randrange(length) if is_last else length], offset)
                if is_last:
                    self._cut()
                    return False
            elif kind == WRITE:
                self._keep(offset, data)
                self.writes += 1
                if self.cut_at is not None and self.writes >= self.cut_at:
                    self._cut()
                    return False
            elif kind == READ:
                answer = self._read(offset, length)
            if kind == FLUSH or (kind == WRITE and flags & FUA):
                self.flushes += kind == FLUSH
                for number, sector in self.cache.items():
                    os.pwrite(self.file, sector, number * SECTOR)
                self.cache.clear()
        self.peer.sendall(struct.pack(">IIQ", REPLY, 0, handle) + answer)
        return True

    def _sector(self, number):
        kept = self.cache.get(number)
        return kept if kept is not None else os.pread(self.file, SECTOR, number * SECTOR)

    def _keep(self, offset, data):
        while data:
            number, begin = divmod(offset, SECTOR)
            part = data[: SECTOR - begin]
            whole = bytearray(self._sector(number))
            whole[begin : begin + len(part)] = part
            self.cache[number] = bytes(whole)
            offset, data = offset + len(part), data[len(part) :]

    def _read(self, offset, length):
        first, last = offset // SECTOR, (offset + length - 1) // SECTOR
        data = b"".join(self._sector(n) for n in range(first, last + 1))
        return data[offset - first * SECTOR :][:length]
