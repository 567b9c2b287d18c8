"""The other half of tests/shim/forget.c: after kill -9, take back what was written and not synced.

    disk = Forgetting(root, journal)      # environment for the server: disk.environment
    ... kill -9 ...
    changed = disk.forget(random.Random(7))
"""
import os
import struct

SECTOR = 512
HEADER = struct.Struct("<QQQ")


def library(program):
    """The preload library that was built beside this program (build/bin/meridian), or None."""
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(program))), "tests", "libforget.so")
    return path if os.path.exists(path) else None


def records_of(journal):
    """[(offset, old bytes, old file length), …], oldest first. A last record that is not whole never saw its write."""
    with open(journal, "rb") as file:
        data = file.read()
    records, at = [], 0
    while at + HEADER.size <= len(data):
        offset, kept, file_bytes = HEADER.unpack_from(data, at)
        at += HEADER.size
        if at + kept > len(data):
            break
        records.append((offset, data[at:at + kept], file_bytes))
        at += kept
    return records


class Forgetting:
    """A folder on a disk that forgets what was not synced when the power goes."""

    def __init__(self, root, journal, preload):
        self.root = os.path.realpath(root)
        self.journal = journal
        os.makedirs(self.root, exist_ok=True)
        os.makedirs(journal, exist_ok=True)
        self.environment = {"LD_PRELOAD": preload, "FORGET_ROOT": self.root, "FORGET_JOURNAL": journal}

    def forget(self, rng=None):
        """Undo all that was not synced. With `rng`, each sector that was not synced is forgotten or kept by chance, as
        a disk may write them in any order. Returns how many bytes changed. No process may use the folder."""
        by_inode = {}
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                by_inode[os.lstat(path).st_ino] = path
        changed = 0
        for name in sorted(os.listdir(self.journal)):
            journal = os.path.join(self.journal, name)
            if int(name) in by_inode:
                changed += self._undo(by_inode[int(name)], records_of(journal), rng)
            os.unlink(journal)
        return changed

    def _undo(self, path, records, rng):
        changed = 0
        with open(path, "r+b") as file:
            newest = {}
            length = file.seek(0, os.SEEK_END)
            # Newest first: the oldest record of a byte says what was there at the last sync.
            for offset, kept, file_bytes in reversed(records):
                if rng:
                    self._remember(file, offset, max(len(kept), length - offset), newest)
                file.seek(offset)
                file.write(kept)
                file.truncate(file_bytes)
                changed += len(kept) + max(0, length - file_bytes)
                length = file_bytes
            for sector in sorted(newest):
                if rng.random() < 0.5:
                    file.seek(sector * SECTOR)
                    file.write(newest[sector])
                    changed -= len(newest[sector])
            os.fsync(file.fileno())
        return max(changed, 0)

    @staticmethod
    def _remember(file, offset, length, newest):
        """Keep what the touched sectors hold now, unless a newer record already did."""
        for sector in range(offset // SECTOR, (offset + length + SECTOR - 1) // SECTOR):
            if sector not in newest:
                file.seek(sector * SECTOR)
                data = file.read(SECTOR)
                if data:
                    newest[sector] = data
