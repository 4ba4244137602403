#!/usr/bin/env python3
"""Reads a log from its files, by docs/format.md alone: shares no code and no knowledge with the engine.

reader.py LOGDIR [--data]            everything in the log, one JSON object per line
reader.py LOGDIR --topic T --raw     the stream of a topic: each payload and its delimiter
"""
import argparse
import base64
import hashlib
import json
import os
import re
import struct
import sys

FILE_HEADER, PAGE, SECTOR = 64, 4096, 512
BLOCK_HEADER, BLOCK_MAX, NAME_MAX = 128, 1 << 31, 1023
RECORD_HEADER, PAYLOAD_MAX, RESERVE = 32, 1 << 30, 32
ENTRY, COMMIT_MARK, DURABLE_MARK = 1, 2, 3
IN_BATCH, LAG_UNKNOWN = 1, 255
TOPIC_CREATED, TOPIC_DELETED, NAMESPACE_CREATED, NAMESPACE_REMOVED, CHANGED = 1, 2, 3, 4, 5
FIELD_NAME, FIELD_FRAMING = 1, 5
DELIMITERS = {0: b"\n", 1: b"", 2: b"\0"}
NOT_ZERO = re.compile(rb"[^\0]")


class Refused(Exception):
    """The log cannot be read at all."""


def crc_tables():
    tables = [[0] * 256 for _ in range(8)]
    for i in range(256):
        value = i
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        tables[0][i] = value
    for i in range(256):
        for t in range(1, 8):
            below = tables[t - 1][i]
            tables[t][i] = below >> 8 ^ tables[0][below & 255]
    return tables


TABLES = crc_tables()


def crc(*parts):
    """CRC32C of the concatenation of parts, 8 bytes at a time."""
    data = b"".join(parts)
    t0, t1, t2, t3, t4, t5, t6, t7 = TABLES
    value = 0xFFFFFFFF
    whole = len(data) & ~7
    for low, high in struct.iter_unpack("<II", memoryview(data)[:whole]):
        low ^= value
        value = (t7[low & 255] ^ t6[low >> 8 & 255] ^ t5[low >> 16 & 255] ^ t4[low >> 24]
                 ^ t3[high & 255] ^ t2[high >> 8 & 255] ^ t1[high >> 16 & 255] ^ t0[high >> 24])
    for byte in data[whole:]:
        value = value >> 8 ^ t0[(value ^ byte) & 255]
    return value ^ 0xFFFFFFFF


def u64(value):
    return struct.pack("<Q", value)


def up8(value):
    return value + 7 & ~7


def next_not_zero(data, start, end):
    """The first multiple of 8 from start whose 8 bytes are not all zero, or end."""
    found = NOT_ZERO.search(data, start, end)
    return found.start() & ~7 if found else end


class File:
    def __init__(self, directory, name, magic, file_id=0):
        self.name = name
        with open(os.path.join(directory, name), "rb") as file:
            self.data = file.read()
        self.valid = False
        if len(self.data) < FILE_HEADER:
            return
        found, version, size, _, incompatible, _, self.log_id, found_id = struct.unpack_from("<8sHHIIIQQ", self.data)
        if struct.unpack_from("<I", self.data, 60)[0] != crc(self.data[:60]) or found != magic or found_id != file_id:
            return
        if version != 1 or size != FILE_HEADER or incompatible:
            raise Refused(f"{name}: version {version}, incompatible features {incompatible:#x}")
        self.valid = True


class Record:
    """A record whose header holds, at a place in a block."""

    def __init__(self, block, place):
        data = block.data
        (self.stored_crc, self.payload_crc, self.size, index, stream, self.kind, self.flags, self.lag, words,
         self.time) = struct.unpack_from("<IIIIIBBBBQ", data, place)
        self.block, self.place = block, place
        self.sequence = block.first_sequence + index
        self.offset = block.first_offset + stream
        self.body = place + RECORD_HEADER
        self.payload_at = self.body + 8 * words
        self.end = up8(self.payload_at + self.size)
        self.in_batch = self.kind == ENTRY and bool(self.flags & IN_BATCH)
        body = data[self.body:self.payload_at + self.size]
        self.holds = self.payload_crc == (crc(body) if body else 0)

    @property
    def payload(self):
        return self.block.data[self.payload_at:self.payload_at + self.size]

    def durable_below(self):
        """The sequence that this record proves durable: all entries below it."""
        if self.kind == DURABLE_MARK:
            return self.sequence
        return 0 if self.lag == LAG_UNKNOWN else max(0, self.sequence - ((1 << self.lag) - 1))


class Block:
    @staticmethod
    def at(file, place, log_id):
        """The block whose header stands at place, or None."""
        head = file.data[place:place + BLOCK_HEADER]
        if len(head) < BLOCK_HEADER or head[:4] != b"WBLK":
            return None
        (stored, size, name_bytes, framing, block_bytes, topic_id, index, first_sequence, first_offset, durable, _,
         segment_id, segment_offset, salt, log) = struct.unpack_from("<4xIHHB3xQQQQQQQQQQQ", head)
        head = file.data[place:place + size]
        if (name_bytes > NAME_MAX or size != BLOCK_HEADER + up8(name_bytes) or stored != crc(head[8:])
                or framing not in DELIMITERS or block_bytes % PAGE or not 0 < block_bytes <= BLOCK_MAX
                or durable > first_sequence or segment_id != file.segment_id or segment_offset != place
                or log != log_id):
            return None
        block = Block()
        block.file, block.place, block.size, block.header_bytes = file, place, block_bytes, size
        block.framing, block.topic_id, block.index, block.salt = framing, topic_id, index, salt
        block.first_sequence, block.first_offset, block.durable = first_sequence, first_offset, durable
        block.name = head[BLOCK_HEADER:BLOCK_HEADER + name_bytes].decode(errors="surrogateescape")
        block.data = file.data[place:place + block_bytes].ljust(block_bytes, b"\0")
        return block

    def in_bounds(self, place, kind, size, words=0):
        end = up8(place + RECORD_HEADER + 8 * words + size)
        reserve = 0 if kind == DURABLE_MARK else RESERVE
        return size <= PAYLOAD_MAX and end + reserve <= self.size

    def header_at(self, place):
        """The record at place if its header holds, or None."""
        if place + RECORD_HEADER > self.size:
            return None
        header = self.data[place:place + RECORD_HEADER]
        size, kind, words = struct.unpack_from("<8xI8xBxxB", header)
        if kind not in (ENTRY, COMMIT_MARK, DURABLE_MARK) or not self.in_bounds(place, kind, size, words):
            return None
        if struct.unpack_from("<I", header)[0] != crc(u64(self.salt), header[4:]):
            return None
        return Record(self, place)

    def headers_from(self, place):
        """All records from place on whose headers hold, across what is none."""
        while True:
            place = next_not_zero(self.data, place, self.size)
            if place >= self.size:
                return
            record = self.header_at(place)
            if record:
                yield record
            place = record.end if record else place + 8

    def may_be_unfinished(self, place):
        """Whether the record missing at place may be a write that a crash cut."""
        if place + RECORD_HEADER > self.size:
            return True
        record = self.header_at(place)
        if record:
            return b"\0" in self.data[record.body:record.payload_at + record.size]
        header = self.data[place:place + RECORD_HEADER]
        size, kind = struct.unpack_from("<8xI8xB", header)
        one_sector = place // SECTOR == (place + RECORD_HEADER - 1) // SECTOR
        known = kind in (ENTRY, COMMIT_MARK, DURABLE_MARK) and size <= PAYLOAD_MAX
        return not (one_sector and known and header[0] and header[1] and header[31])


class Topic:
    def __init__(self, log, topic_id, name):
        self.log, self.id, self.name = log, topic_id, name
        self.blocks, self.entries, self.pending = [], [], []
        self.next_sequence = 0

    def find(self, verdict, block, place, sequence):
        self.log.find(verdict, block.file.name, block.place + place, self.name, sequence)

    def walk(self):
        self.blocks.sort(key=lambda block: block.index)
        live, lowest = [], None
        for block in reversed(self.blocks):
            if lowest is not None and block.first_sequence >= lowest:
                self.find("superseded", block, 0, block.first_sequence)
            else:
                live.insert(0, block)
                lowest = block.first_sequence
        self.blocks = live
        self.sequence = live[0].first_sequence if live else 0
        for i in range(len(live)):
            if not self.walk_block(i):
                break
        if self.pending:  # a batch at the end without its mark
            for entry in self.pending:
                self.find("uncommitted", entry.block, entry.place, entry.sequence)
            self.sequence = self.pending[0].sequence
        self.next_sequence = self.sequence

    def walk_block(self, i):
        """Takes the records of a block. False: the topic ends in it."""
        block = self.blocks[i]
        limit = self.blocks[i + 1].first_sequence if i + 1 < len(self.blocks) else None
        place = block.header_bytes
        while True:
            record = block.header_at(place)
            if limit is not None and self.sequence >= limit:
                if not (record and record.holds and record.kind != ENTRY and record.sequence == limit):
                    break
            if record and record.holds and record.sequence == self.sequence:
                self.take(record)
                place = record.end
                continue
            later = [r for r in block.headers_from(place) if r.holds and r.sequence >= self.sequence]
            if not later and limit is None:  # the end
                rest = next_not_zero(block.data, place, block.size)
                if rest < block.size:
                    self.find("torn", block, place, self.sequence)
                return False
            if self.sequence >= self.proved_durable(i, later) and block.may_be_unfinished(place):
                self.find("torn", block, place, self.sequence)
                return False
            self.find("damaged", block, place, self.sequence)
            place = self.step_over(block, place, limit)
        for record in block.headers_from(place):
            if record.kind == ENTRY and record.holds:
                self.find("superseded", block, record.place, record.sequence)
        return True

    def proved_durable(self, i, later):
        """H: the highest sequence that anything later proves durable."""
        proofs = [record.durable_below() for record in later]
        for block in self.blocks[i + 1:]:
            proofs.append(block.durable)
            proofs += [r.durable_below() for r in block.headers_from(block.header_bytes) if r.holds]
        return max(proofs, default=0)

    def step_over(self, block, place, limit):
        """Goes on behind damage: returns the next place in the block, and moves on to its sequence."""
        damaged = block.header_at(place)
        if damaged and damaged.sequence == self.sequence:
            if damaged.kind == ENTRY:
                self.sequence += 1
                if damaged.in_batch:
                    self.pending.append(damaged)
                else:
                    self.commit()
            return damaged.end
        for record in block.headers_from(place):
            if record.sequence >= self.sequence and (limit is None or record.sequence <= limit):
                if record.sequence == self.sequence:  # only a mark is missing, so a batch ended here
                    self.commit()
                self.sequence = record.sequence
                return record.place
        self.sequence = limit
        return block.size

    def take(self, record):
        if record.kind == ENTRY:
            self.sequence += 1
            self.pending.append(record)
            if not record.in_batch:
                self.commit()
        elif record.kind == COMMIT_MARK and record.size == 24:
            first, number, header_crcs, size = struct.unpack("<QIIQ", record.payload)
            covered = [entry for entry in self.pending if entry.sequence >= first]
            missing = number - len(covered)
            exact = missing == 0 and size == sum(entry.size for entry in covered) and header_crcs == crc(
                *(struct.pack("<I", entry.stored_crc) for entry in covered))
            # With an entry's header damaged the sums cannot be made: what is left then goes by the numbers.
            if first + number == record.sequence and (exact or missing > 0):
                self.commit()
        elif record.kind == DURABLE_MARK:
            self.commit()

    def commit(self):
        self.entries += [entry for entry in self.pending if entry.holds]
        self.pending = []


class Log:
    def __init__(self, directory):
        self.directory = directory
        self.findings, self.topics, self.cursors = [], {}, []
        self.deleted = set()
        catalog = File(directory, "catalog", b"walrusCT")
        if not catalog.valid:
            raise Refused("catalog: no valid file header")
        self.log_id = catalog.log_id
        self.read_catalog(catalog)
        self.segments = []
        for name in sorted(os.listdir(directory)):
            if re.fullmatch("segment-[0-9a-f]{16}", name):
                self.read_segment(name)
        for topic in self.topics.values():
            topic.walk()
        if os.path.exists(os.path.join(directory, "cursors")):
            self.read_cursors(File(directory, "cursors", b"walrusCU"))

    def find(self, verdict, file, place, topic=None, sequence=None):
        self.findings.append({"kind": "finding", "verdict": verdict, "topic": topic, "file": file,
                              "file_offset": place, "sequence": sequence})

    def read_catalog(self, file):
        data, place, expected = file.data, FILE_HEADER, FILE_HEADER
        while place + 24 <= len(data):
            stored, size, number, kind = struct.unpack_from("<IIQH", data, place)
            end = place + 24 + size
            if not (16 <= size <= 2048 and end <= len(data) and stored == crc(u64(self.log_id), data[place + 4:end])):
                place += 8
                continue
            if place != expected:  # a gap before a valid record
                self.find("damaged", file.name, expected)
            self.catalog_record(kind, data[place + 24:end])
            place = expected = up8(end)
        if NOT_ZERO.search(data, expected):
            self.find("torn", file.name, expected)

    def catalog_record(self, kind, body):
        node, _ = struct.unpack_from("<QQ", body)
        fields, at = {}, 16
        while at + 4 <= len(body):
            tag, length = struct.unpack_from("<HH", body, at)
            fields[tag] = body[at + 4:at + 4 + length]
            at += 4 + length
        if kind == TOPIC_CREATED and node not in self.deleted:
            self.topics[node] = Topic(self, node, fields.get(FIELD_NAME, b"").decode(errors="surrogateescape"))
        elif kind == TOPIC_DELETED:
            self.deleted.add(node)
            self.topics.pop(node, None)

    def read_segment(self, name):
        file = File(self.directory, name, b"walrusSG", int(name[8:], 16))
        file.segment_id = int(name[8:], 16)
        if not NOT_ZERO.search(file.data):
            return  # what a crash may leave
        if not file.valid or file.log_id != self.log_id:
            self.find("damaged", name, 0)
        self.segments.append(file)
        place = PAGE
        while place < len(file.data):
            block = Block.at(file, place, self.log_id)
            if block and block.topic_id not in self.deleted:
                topic = self.topics.setdefault(block.topic_id, Topic(self, block.topic_id, block.name))
                topic.blocks.append(block)
            place += block.size if block else PAGE

    def read_cursors(self, file):
        if not file.valid or file.log_id != self.log_id:
            self.find("damaged", file.name, 0)
        for slot, place in enumerate(range(PAGE, len(file.data) - 127, 128)):
            copies = [file.data[place:place + 64], file.data[place + 64:place + 128]]
            valid = [struct.unpack_from("<8xQQQQQQ", copy) for copy in copies
                     if struct.unpack_from("<I", copy)[0] == crc(u64(self.log_id), u64(slot), copy[4:])]
            written = sum(NOT_ZERO.search(copy) is not None for copy in copies)
            if not valid:
                if written:
                    self.find("damaged", file.name, place)
                continue
            topic_id, group, _, sequence, _, _ = max(valid, key=lambda copy: copy[2])
            topic = self.topics[topic_id].name if topic_id in self.topics else None
            if topic is not None:
                self.cursors.append({"kind": "cursor", "topic": topic, "group": group, "sequence": sequence})
            if written > len(valid):  # what a crash may leave
                self.find("torn", file.name, place, topic, sequence)

    def report(self, with_data):
        for topic in self.topics.values():
            yield {"kind": "topic", "name": topic.name, "id": topic.id, "entries": len(topic.entries),
                   "next_sequence": topic.next_sequence}
            for entry in topic.entries:
                line = {"kind": "entry", "topic": topic.name, "sequence": entry.sequence, "offset": entry.offset,
                        "time_ns": entry.time, "length": entry.size}
                if with_data:
                    line["data"] = base64.b64encode(entry.payload).decode()
                else:
                    line["sha256"] = hashlib.sha256(entry.payload).hexdigest()
                yield line
        yield from self.cursors
        yield from self.findings
        entries = [entry for topic in self.topics.values() for entry in topic.entries]
        counts = {verdict: sum(finding["verdict"] == verdict for finding in self.findings)
                  for verdict in ("torn", "uncommitted", "superseded", "damaged")}
        yield {"kind": "summary", "topics": len(self.topics), "segments": len(self.segments),
               "entries": len(entries), "payload_bytes": sum(entry.size for entry in entries),
               "cursors": len(self.cursors), **counts}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("log", metavar="LOGDIR")
    parser.add_argument("--data", action="store_true", help="payloads in base64 in place of their sha256")
    parser.add_argument("--topic", help="with --raw: the topic whose stream to write")
    parser.add_argument("--raw", action="store_true", help="write the stream of a topic")
    arguments = parser.parse_args()
    if arguments.raw != (arguments.topic is not None):
        parser.error("--topic and --raw belong together")
    try:
        log = Log(arguments.log)
    except (Refused, OSError) as error:
        sys.exit(f"reader.py: {error}")
    if arguments.raw:
        topics = [topic for topic in log.topics.values() if topic.name == arguments.topic]
        if not topics:
            sys.exit(f"reader.py: no topic {arguments.topic}")
        for entry in topics[0].entries:
            sys.stdout.buffer.write(entry.payload + DELIMITERS[entry.block.framing])
        return
    for line in log.report(arguments.data):
        print(json.dumps(line))


if __name__ == "__main__":
    main()
