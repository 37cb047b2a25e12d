"""How a journal lies on disk: segments of batches of records, and what a reader makes of a damaged one.

    segment = header, batches, zeros   header = magic 8 | format 4 | segment 8 | first sequence 8 | oldest 8 | crc32c 4
    batch   = mark 4 | crc32c 4 | length 4 | sequence 8 | segment 8 | payload    payload = MessagePack list of bins

All numbers are big-endian. A batch's CRC covers everything behind it in header and payload. Sequence numbers count
the batches of the whole journal from 1, so a lost segment or batch leaves a gap; `oldest` is the first segment that was
still needed when this one was begun, so a lost first one is missed too. Behind the last batch stand zeros:
the space is written ahead, because a sync that need not move the end of the file takes half the time.

*Invariants*: a batch is written only when all before it are synced, and a segment only when the one before it is
complete; so only the very last batch can be torn. Bytes that are no batch, with nothing valid behind them in the last
segment, are that torn batch: they are cut. Anything else that is not as written is `Corrupt`.

*Left out*: which records mean what (the driver knows), and files, threads and syncs (`journal.py`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import google_crc32c
import msgspec

from nodes.errors import Corrupt

FORMAT = 2

_MAGIC = b"txstjrnl"
_MARK = b"\xd7btc"
_HEADER = struct.Struct(">8sIQQQ")
_BATCH = struct.Struct(">IQQ")  # what the CRC covers of a batch's header
_CRC = struct.Struct(">I")
_HEADER_BYTES = _HEADER.size + _CRC.size
_PREFIX_BYTES = len(_MARK) + _CRC.size
_OVERHEAD_BYTES = _PREFIX_BYTES + _BATCH.size

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[bytes])


def encode_header(number: int, first_sequence: int, oldest: int = 1) -> bytes:
    """The first bytes of segment `number`, whose first batch will be `first_sequence`; no segment before `oldest` is
    needed any more."""
    header = _HEADER.pack(_MAGIC, FORMAT, number, first_sequence, oldest)
    return header + _CRC.pack(google_crc32c.value(header))


def oldest_needed(data: bytes) -> int:
    """What the header of a segment says; 0 when it has none that is whole."""
    header = data[: _HEADER.size]
    if len(data) < _HEADER_BYTES or _CRC.pack(google_crc32c.value(header)) != data[_HEADER.size : _HEADER_BYTES]:
        return 0
    return int(_HEADER.unpack(header)[4])


def encode_batch(records: list[bytes], sequence: int, number: int) -> bytes:
    """One batch as it is written to segment `number`."""
    payload = _encoder.encode(records)
    head = _BATCH.pack(len(payload), sequence, number)
    crc = google_crc32c.extend(google_crc32c.value(head), payload)
    return b"".join((_MARK, _CRC.pack(crc), head, payload))


class Segment:
    """Reads one segment: iterate `batches()` to its end, then `end`, `next_sequence` and the rest are known.

    `number` and `first_sequence` are what the header must say (0: whatever it says, for the oldest segment is not told
    by one before it); `is_last`: no segment follows, so a torn end is cut.
    Raises Corrupt, from the constructor or the iteration.
    """

    def __init__(self, data: bytes, number: int, first_sequence: int, is_last: bool) -> None:
        self.number = number
        self.next_sequence = first_sequence
        self.size = len(data)
        self.end = _HEADER_BYTES  # where the next batch goes
        self.last_start = 0  # where the last thing written begins: the last batch, or the header
        self.is_torn = False  # there are bytes behind `end` that must be cut
        self.is_blank = False  # not even the header was finished
        self._data = data
        self._is_last = is_last
        self._check_header()

    def batches(self) -> Iterator[list[bytes]]:
        """The records of each batch, oldest first."""
        while not self.is_blank:
            length = self._valid_length(self.end, self.next_sequence)
            if length < 0:
                break
            body = memoryview(self._data)[self.end + _OVERHEAD_BYTES : self.end + length]
            self.last_start, self.end, self.next_sequence = self.end, self.end + length, self.next_sequence + 1
            yield self._decode(body)
        self._judge_rest()

    def last_written(self) -> bytes:
        """The bytes of the last thing written, the only ones that may not be synced."""
        return self._data[self.last_start : self.end]

    def _decode(self, body: memoryview) -> list[bytes]:
        try:
            return _decoder.decode(body)
        except msgspec.DecodeError as error:
            raise self._corrupt(f"a batch with a valid checksum holds no records: {error}") from error

    def _check_header(self) -> None:
        header = self._data[: _HEADER.size]
        if self._has_header():
            return
        is_torn = self._is_last and not _is_anything_in(self._data, _HEADER_BYTES)
        if header.startswith(_MAGIC) and len(header) == _HEADER.size:
            self._check_fields(header, is_torn)
        if not is_torn:
            raise self._corrupt("it does not begin with the header of a journal segment")
        self.is_blank, self.end = True, 0

    def _has_header(self) -> bool:
        """Is it whole and as expected? An unknown first sequence is then known."""
        oldest = oldest_needed(self._data)
        if oldest and not self.next_sequence:
            self.next_sequence = int(_HEADER.unpack_from(self._data)[3])
        return self._data[:_HEADER_BYTES] == encode_header(self.number, self.next_sequence, oldest)

    def _check_fields(self, header: bytes, is_torn: bool) -> None:
        """Name what is wrong with a header that can be read. One that a crash tore may say anything."""
        _, format_number, number, first_sequence, _ = _HEADER.unpack(header)
        is_whole = _CRC.pack(google_crc32c.value(header)) == self._data[_HEADER.size : _HEADER_BYTES]
        if format_number not in (0, FORMAT) and (is_whole or not is_torn):
            raise self._corrupt(f"it has format number {format_number}, this program reads {FORMAT}")
        if is_whole:
            raise self._corrupt(
                f"its header says segment {number} from batch {first_sequence}, "
                f"expected is segment {self.number} from batch {self.next_sequence}"
            )

    def _valid_length(self, start: int, sequence: int) -> int:
        """The length of the batch at `start` with its header, -1 if none is there. Another sequence is Corrupt."""
        found = self._sequence_at(start)
        if found < 0:
            return -1
        if found != sequence:
            raise self._corrupt(f"batch {found} stands at byte {start}, where batch {sequence} belongs")
        return self._length_at(start)

    def _length_at(self, start: int) -> int:
        return _OVERHEAD_BYTES + int(_CRC.unpack_from(self._data, start + _PREFIX_BYTES)[0])

    def _sequence_at(self, start: int) -> int:
        """The sequence number of the valid batch at `start`, -1 if there is none."""
        data, head_at = self._data, start + _PREFIX_BYTES
        if not data.startswith(_MARK, start) or len(data) < start + _OVERHEAD_BYTES:
            return -1
        length, sequence, number = _BATCH.unpack_from(data, head_at)
        stop = start + _OVERHEAD_BYTES + length
        if number != self.number or stop > len(data):
            return -1
        (crc,) = _CRC.unpack_from(data, start + len(_MARK))
        return int(sequence) if google_crc32c.value(data[head_at:stop]) == crc else -1

    def _judge_rest(self) -> None:
        """What stands behind the last batch: zeros, a torn batch, or damage."""
        if not _is_anything_in(self._data, self.end):
            return
        if not self._is_last:
            raise self._corrupt(f"batch {self.next_sequence} at byte {self.end} is bad, and a later segment follows")
        start = self._data.find(_MARK, self.end + 1)
        while start >= 0:
            if self._sequence_at(start) > self.next_sequence:
                raise self._corrupt(
                    f"batch {self.next_sequence} at byte {self.end} is bad, and a valid one follows at byte {start}"
                )
            start = self._data.find(_MARK, start + 1)
        self.is_torn = True

    def _corrupt(self, what: str) -> Corrupt:
        return Corrupt(f"journal segment {self.number}: {what}")


def _is_anything_in(data: bytes, start: int) -> bool:
    """Is any byte from `start` on not zero?"""
    return data.count(0, start) != max(0, len(data) - start)
