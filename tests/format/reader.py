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
KINDS = ENTRY, COMMIT_MARK, DURABLE_MARK, SHARED_MARK = 1, 2, 3, 4
IN_BATCH, IN_SHARED_BATCH, LAG_UNKNOWN = 1, 2, 255
SHARED_BATCHES = 1  # incompatible feature
TOPIC_CREATED, TOPIC_DELETED, TOPIC_TRIMMED, GROUP_CREATED, GROUP_DELETED, GROUP_CHANGED = 1, 2, 16, 9, 10, 11
LOG_CHANGED = 12
FIELD_NAME, FIELD_RETENTION, FIELD_RETENTION_LIMIT, FIELD_CONSISTENCY, FIELD_INTERVAL = 1, 8, 9, 10, 11
DEFAULT_GROUP, GROUP_HEAD = 0, 2**64 - 1
CONSISTENCIES = {0: "as the log", 1: "strict", 2: "at-least-once"}
RETENTIONS = {0: "consumed", 1: "consumed", 2: "all", 3: "bytes:{}", 4: "age:{}ms"}
DELIMITERS = {0: b"\n", 1: b"", 2: b"\0"}
NOT_ZERO = re.compile(rb"[^\0]")


class Refused(Exception):
    """The log cannot be read at all."""


def crc_tables():
    first = list(range(256))
    for _ in range(8):
        first = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in first]
    tables = [first]
    for _ in range(7):
        tables.append([value >> 8 ^ first[value & 255] for value in tables[-1]])
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


class File:
    def __init__(self, directory, name, magic, file_id=0):
        self.name, self.id = name, file_id
        with open(os.path.join(directory, name), "rb") as file:
            self.data = file.read()
        self.valid = False
        if len(self.data) < FILE_HEADER:
            return
        found, version, size, _, incompatible, _, self.log_id, found_id = struct.unpack_from("<8sHHIIIQQ", self.data)
        if struct.unpack_from("<I", self.data, 60)[0] != crc(self.data[:60]) or found != magic or found_id != file_id:
            return
        if version != 1 or size != FILE_HEADER or incompatible & ~SHARED_BATCHES:
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
        start = place + RECORD_HEADER
        end = start + 8 * words + self.size
        self.end = up8(end)
        self.body = data[start:end]  # extension and payload
        self.payload = self.body[8 * words:]
        self.holds = self.payload_crc == (crc(self.body) if self.body else 0)

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
         segment_id, segment_offset, salt, log, previous) = struct.unpack_from("<4xIHHB3xQQQQQQQQQQQQ", head)
        head = file.data[place:place + size]
        if (name_bytes > NAME_MAX or size != BLOCK_HEADER + up8(name_bytes) or stored != crc(head[8:])
                or framing not in DELIMITERS or block_bytes % PAGE or not 0 < block_bytes <= BLOCK_MAX
                or durable > first_sequence or previous > index or (segment_id, segment_offset, log) != (file.id, place, log_id)):
            return None
        block = Block()
        block.file, block.place, block.size, block.header_bytes = file, place, block_bytes, size
        block.framing, block.topic_id, block.index, block.previous, block.salt = framing, topic_id, index, previous, salt
        block.first_sequence, block.first_offset, block.durable = first_sequence, first_offset, durable
        block.name = head[BLOCK_HEADER:BLOCK_HEADER + name_bytes].decode(errors="surrogateescape")
        block.data = file.data[place:place + block_bytes].ljust(block_bytes, b"\0")
        return block

    def header_at(self, place):
        """The record at place if its header holds, or None."""
        if place + RECORD_HEADER > self.size:
            return None
        header = self.data[place:place + RECORD_HEADER]
        size, kind, words = struct.unpack_from("<8xI8xBxxB", header)
        room = self.size - place - RECORD_HEADER - (0 if kind == DURABLE_MARK else RESERVE)
        if kind in KINDS and size <= PAYLOAD_MAX and up8(8 * words + size) <= room:
            if struct.unpack_from("<I", header)[0] == crc(u64(self.salt), header[4:]):
                return Record(self, place)
        return None

    def valid_records(self):
        """The records whose header and payload hold, in order, across what is none."""
        place = self.header_bytes
        while found := NOT_ZERO.search(self.data, place):
            place = found.start() & ~7
            record = self.header_at(place)
            if record and record.holds:
                yield record
            place = record.end if record else place + 8

    def may_be_unfinished(self, place):
        """Whether the record missing at place may be a write that a crash cut."""
        if place + RECORD_HEADER > self.size:
            return True
        record = self.header_at(place)
        if record:
            return b"\0" in record.body
        header = self.data[place:place + RECORD_HEADER]
        size, kind = struct.unpack_from("<8xI8xB", header)
        one_sector = place // SECTOR == (place + RECORD_HEADER - 1) // SECTOR
        known = kind in KINDS and size <= PAYLOAD_MAX
        return not (one_sector and known and header[0] and header[1] and header[31])


class Topic:
    def __init__(self, log, topic_id, name):
        self.log, self.id, self.name = log, topic_id, name
        self.blocks, self.entries, self.pending = [], [], []
        self.next_sequence = 0
        self.on_record = False  # that it was trimmed
        self.head, self.head_known, self.head_torn = 0, False, False
        self.horizon = 0  # all entries below it were durable
        self.steps = []  # what the walk has met: records, and (first, next) sequences of damaged places
        self.damaged_pending = False  # a damaged place is among or behind the entries that wait for a mark
        self.ended = False

    def find(self, verdict, block, place, sequence):
        self.log.find(verdict, block.file.name, block.place + place, self.name, sequence)

    def walk(self):
        """Finds the entries that count, and where the topic ends."""
        self.blocks.sort(key=lambda block: block.index)
        live = []
        for block in reversed(self.blocks):
            if live and block.first_sequence >= live[0].first_sequence:
                self.find("superseded", block, 0, block.first_sequence)
                self.supersede(block, block.valid_records())
            else:
                live.insert(0, block)
        while len(live) > 1 and live[1].first_sequence <= self.head:
            self.find("trimmed", live[0], 0, live[0].first_sequence)
            live.pop(0)
        self.blocks = live
        if self.on_record and not self.head_known:
            self.log.find("damaged", "cursors", 0, self.name, live[0].first_sequence if live else 0)
            self.head = live[0].first_sequence if live else 0
        self.next_sequence = min(self.head, live[0].first_sequence) if live else self.head
        for block in live:
            block.records = list(block.valid_records())
            block.proof = max([block.durable, self.head] + [record.durable_below() for record in block.records])
        self.horizon = max([self.horizon, self.head] + [block.proof for block in live])
        if not live or self.goes_on_from_the_start():
            all(self.walk_block(i) and self.is_linked(i) for i in range(len(live)))  # up to where the topic ends
        for entry in self.pending:  # a batch at the end without its mark
            if entry.sequence >= self.head:
                self.find("uncommitted", entry.block, entry.place, entry.sequence)
            self.next_sequence = self.pending[0].sequence
        self.next_sequence = max(self.next_sequence, self.head)

    def supersede(self, block, records):
        for record in (record for record in records if record.kind == ENTRY):
            self.find("superseded", block, record.place, record.sequence)

    def goes_on_from_the_start(self):
        """Whether the first block begins the topic, or the lost blocks before it are damage."""
        first = self.blocks[0]
        if first.first_sequence <= self.head:
            return True
        lost = max(block.proof for block in self.blocks) > self.head or self.head_torn
        self.find("damaged" if lost else "torn", first, 0, self.head)
        self.next_sequence = first.first_sequence if lost else self.head
        return lost

    def is_linked(self, i):
        """Whether the next block may be walked: it follows this one, or the block between them was durable and is lost."""
        later = self.blocks[i + 1:]
        if not later or later[0].previous == self.blocks[i].index:
            return True
        doubtful = self.pending[0].sequence if self.pending else self.next_sequence
        return max(block.proof for block in later) > doubtful

    def walk_block(self, i):
        """Takes the records of a block. False: the topic ends in it."""
        block = self.blocks[i]
        limit = self.blocks[i + 1].first_sequence if i + 1 < len(self.blocks) else None
        later_blocks = max((later.proof for later in self.blocks[i + 1:]), default=self.head)
        place = block.header_bytes
        for j, record in enumerate(block.records):
            expected = record.place == place and record.sequence == self.next_sequence
            reached = limit is not None and self.next_sequence >= limit
            if not expected and not reached:
                proof = max([later_blocks] + [later.durable_below() for later in block.records[j:]])
                if not self.go_on_behind(block, place, proof, record.sequence if limit is None else min(record.sequence, limit)):
                    return False
                if record.sequence == self.next_sequence and not self.waits_as_part():
                    self.commit()  # only a mark is missing, so a batch ended here
                self.next_sequence = record.sequence if limit is None else min(record.sequence, limit)
                reached = record.sequence == limit and record.kind == ENTRY or self.next_sequence < record.sequence
            elif reached:  # a mark at that sequence still belongs to what is before it
                reached = not expected or record.kind == ENTRY
            if reached:
                self.supersede(block, block.records[j:])
                return True
            self.take(record)
            if self.ended:
                return False
            place = record.end
        if limit is None:  # nothing valid follows: the end
            if NOT_ZERO.search(block.data, place):
                self.find("torn", block, place, self.next_sequence)
        elif self.next_sequence < limit:
            if not self.go_on_behind(block, place, later_blocks, limit):
                return False
            self.next_sequence = limit
        return True

    def go_on_behind(self, block, place, proof, following):
        """Judges the place where no expected record stands. proof: H. False: the topic ends there."""
        damaged = self.next_sequence < proof or not block.may_be_unfinished(place)
        verdict = "trimmed" if self.next_sequence < following <= self.head else "damaged"
        self.find(verdict if damaged else "torn", block, place, self.next_sequence)
        if damaged:
            self.steps.append((self.next_sequence, following))
            self.damaged_pending = True
        return damaged

    def waits_as_part(self):
        """Whether the entries that wait for a mark are of a batch over several topics."""
        return bool(self.pending) and bool(self.pending[0].flags & IN_SHARED_BATCH)

    def goes_on_without_mark(self):
        """What stands here is not the mark that entries wait for. False: the topic ends before them."""
        self.ended = (self.waits_as_part() and not self.damaged_pending
                      and max(block.proof for block in self.blocks) <= self.pending[0].sequence)
        return not self.ended

    def take(self, record):
        shared = record.flags & IN_BATCH and record.flags & IN_SHARED_BATCH
        if record.kind == ENTRY:
            if not shared and not self.goes_on_without_mark():
                return
            if self.pending and self.waits_as_part() != bool(shared):
                self.commit()
            if not self.pending:
                self.damaged_pending = False
            self.next_sequence += 1
            self.pending.append(record)
            if not record.flags & IN_BATCH:
                self.commit()
        elif record.kind == DURABLE_MARK:
            if not self.goes_on_without_mark():
                return
            self.commit()
        else:
            self.take_mark(record)
        self.steps.append(record)

    def take_mark(self, record):
        record.mark = Mark(record)
        first, number, header_crcs, size = record.mark.covers
        if self.pending and first > self.pending[0].sequence and not self.goes_on_without_mark():
            return
        covered = [entry for entry in self.pending if entry.sequence >= first]
        missing = number - len(covered)
        exact = missing == 0 and size == sum(entry.size for entry in covered) and header_crcs == crc(
            *(struct.pack("<I", entry.stored_crc) for entry in covered))
        # Where entries of it are damaged the sums cannot be made: what is left goes by the numbers.
        if first + number == record.sequence and (exact or missing > 0):
            self.commit()
            if record.kind == SHARED_MARK and record.mark.parts >= 2:
                self.log.parts.append(Part(self, record.mark))

    def look_at(self, sequence, batch):
        """What stands at the place of a part: "there" (whole or damaged) or "missing"."""
        broken = not any(isinstance(step, Record) and step.sequence <= sequence for step in self.steps)
        for step in self.steps:
            if not isinstance(step, Record):
                broken = broken or step[1] > sequence
            elif step.kind == ENTRY:
                if step.sequence >= sequence and not step.flags & IN_BATCH:
                    break
            elif step.sequence > sequence:
                mark = step.mark if step.kind != DURABLE_MARK else None
                if mark and mark.covers[0] == sequence and mark.batch == batch:
                    return "there"
                if mark and mark.covers[0] <= sequence:
                    return "missing"
                break
        return "there" if broken else "missing"

    def cut(self, part):
        """The topic ends before a part of a batch that does not count."""
        for entry in self.entries:
            if part.first <= entry.sequence < part.end:
                self.find("uncommitted", entry.block, entry.place, entry.sequence)
        self.entries = [entry for entry in self.entries if entry.sequence < part.first]
        self.next_sequence = part.first

    def commit(self):
        for entry in self.pending:
            if entry.sequence < self.head:
                self.find("trimmed", entry.block, entry.place, entry.sequence)
            else:
                self.entries.append(entry)
        self.pending = []


class Mark:
    """What a commit mark says."""

    def __init__(self, record):
        self.covers = struct.unpack_from("<QIIQ", record.payload)
        self.batch = self.parts = 0
        if record.kind == SHARED_MARK:
            self.batch, self.parts, self.part, self.next_topic, self.next_sequence = struct.unpack_from(
                "<QIIQQ", record.payload, 24)


class Part:
    """A part of a batch over several topics that was met."""

    def __init__(self, topic, mark):
        self.topic, self.mark = topic, mark
        self.first = mark.covers[0]
        self.end = self.first + mark.covers[1]

    def is_met(self):
        return self.first < self.topic.next_sequence

    def is_durable(self):
        return self.first < self.topic.horizon


class CleanMark:
    """The file `mark`: whether it holds, and whether it agrees with the log as it is found without it."""
    STATE, SUMMARY, BODY, TOPIC_BYTES, BLOCK_BYTES, SEGMENT_BYTES = 512, 1024, 4096, 96, 72, 32

    def __init__(self, log, file):
        self.log, self.file, self.data = log, file, file.data.ljust(self.BODY, b"\0")
        self.holds = True
        self.topics, self.segments = [], {}  # (place, fields, blocks); id: fields

    def broken(self, place, verdict="damaged"):
        self.holds = self.holds and verdict != "damaged"
        self.log.find(verdict, "mark", place)

    def summed(self, place, end):
        stored = struct.unpack_from("<I", self.data, place)[0]
        return end <= len(self.data) and stored == crc(u64(self.log.log_id), self.data[place + 4:end])

    def judge(self):
        if not self.file.valid or self.file.log_id != self.log.log_id:
            self.broken(0)
        state_holds = self.summed(self.STATE, self.STATE + 64)
        if not state_holds:
            self.broken(self.STATE, "torn")  # what a crash may leave
        if not self.summed(self.SUMMARY, self.SUMMARY + 96):
            return self.broken(self.SUMMARY)
        body_crc, mark_id, size, topics, blocks, segments = struct.unpack_from("<4xIQQQQQ", self.data, self.SUMMARY)
        end = self.BODY + size
        if len(self.file.data) != end:
            self.broken(min(end, len(self.file.data)))
        if len(self.file.data) < end:
            return None
        self.read_topics(topics, end - segments * self.SEGMENT_BYTES)
        for place in range(end - segments * self.SEGMENT_BYTES, end, self.SEGMENT_BYTES):
            if not self.summed(place, place + self.SEGMENT_BYTES):
                self.broken(place)
            segment, *fields = struct.unpack_from("<8xQQQ", self.data, place)
            self.segments[segment] = fields
        if self.holds and body_crc != crc(self.data[self.BODY:end]):
            self.broken(self.BODY)
        if self.holds and not self.is_consistent(topics, segments):
            self.broken(self.BODY)
        if self.holds:
            clean, of = struct.unpack_from("<4xIQ", self.data, self.STATE)
            self.compare(state_holds and clean == 1 and of == mark_id)
        return None

    def read_topics(self, number, end):
        place = self.BODY
        for _ in range(number):
            blocks = struct.unpack_from("<4xI", self.data, place)[0] if place + self.TOPIC_BYTES <= end else 0
            after = place + self.TOPIC_BYTES + blocks * self.BLOCK_BYTES
            if after > end or not self.summed(place, after):
                return self.broken(place)
            self.topics.append((place, struct.unpack_from("<QI4xQQQQQQ", self.data, place + 8), [
                (at, struct.unpack_from("<QQQQQQQII", self.data, at))
                for at in range(place + self.TOPIC_BYTES, after, self.BLOCK_BYTES)]))
            place = after
        return None

    def is_consistent(self, topics, segments):
        if len({fields[0] for _, fields, _ in self.topics}) < topics or len(self.segments) < segments:
            return False
        last = (0, 0)
        for segment, place, size in sorted(block[:3] for _, _, blocks in self.topics for _, block in blocks):
            if (segment, place) < last or segment in self.segments and place + size > self.segments[segment][0]:
                return False
            last = (segment, place + size)
        return True

    def compare(self, clean):
        for place, (topic_id, _, _, _, end, *_), blocks in self.topics:
            topic = self.log.topics.get(topic_id)
            if topic is None:
                continue
            if topic.next_sequence < end or clean and topic.next_sequence > end:
                self.log.find("damaged", "mark", place, topic.name, min(topic.next_sequence, end))
            there = {(block.file.id, block.place, block.size, block.index, block.first_sequence, block.first_offset,
                      crc(u64(block.salt))) for block in topic.blocks}
            follow = [block[5] for _, block in blocks[1:]] + [end]
            for (at, block), following in zip(blocks, follow):
                gone = following <= topic.head or block[5] >= end  # may have been freed since
                if not gone and block[:4] + block[5:8] not in there:
                    self.log.find("damaged", "mark", at, topic.name, block[5])


class Log:
    def __init__(self, directory):
        self.directory = directory
        self.findings, self.topics, self.cursors, self.deleted, self.parts = [], {}, [], set(), []
        self.groups = {DEFAULT_GROUP: {"kind": "group", "group": "default", "id": 0, "consistency": "as the log"}}
        self.retention = RETENTIONS[0]
        catalog = File(directory, "catalog", b"walrusCT")
        if not catalog.valid:
            raise Refused("catalog: no valid file header")
        self.log_id = catalog.log_id
        self.read_catalog(catalog)
        self.segments = 0
        for name in sorted(os.listdir(directory)):
            if re.fullmatch("segment-[0-9a-f]{16}", name):
                self.read_segment(name)
        if os.path.exists(os.path.join(directory, "cursors")):
            self.read_cursors(File(directory, "cursors", b"walrusCU"))
        for topic in self.topics.values():
            topic.walk()
        self.settle_batches()
        if os.path.exists(os.path.join(directory, "mark")):
            CleanMark(self, File(directory, "mark", b"walrusMK")).judge()

    def settle_batches(self):
        """Which batches over several topics count, and where topics end for those that do not."""
        batches = {}
        for part in self.parts:
            batches.setdefault(part.mark.batch, []).append(part)
        changed = True
        while changed:  # what is known to be durable
            changed = False
            for parts in batches.values():
                if any(part.is_durable() or self.judge_next(part, parts) == "durable" for part in parts):
                    for part in parts:
                        changed = changed or part.topic.horizon < part.end
                        part.topic.horizon = max(part.topic.horizon, part.end)
        changed = True
        while changed:
            changed = False
            for parts in batches.values():
                met = [part for part in parts if part.is_met()]
                if not met or any(part.is_durable() for part in met):
                    continue
                there = len(met) + sum(self.judge_next(part, met) == "there" for part in met)
                if there < met[0].mark.parts:
                    changed = True
                    for part in met:
                        part.topic.cut(part)

    def judge_next(self, part, met):
        """What the part's mark tells of the next one, if that was not met."""
        mark = part.mark
        if any(other.mark.part == (mark.part + 1) % mark.parts for other in met):
            return "met"
        if mark.next_topic in self.deleted:
            return "durable"
        topic = self.topics.get(mark.next_topic)
        if topic is None:
            return "missing"
        durable = mark.next_sequence < max(topic.horizon, topic.head)
        if mark.next_sequence >= topic.next_sequence:
            return "durable" if durable else "missing"
        if mark.next_sequence < topic.head:
            return "durable"
        found = topic.look_at(mark.next_sequence, mark.batch)
        return "durable" if found == "there" and durable else found

    def find(self, verdict, file, place, topic=None, sequence=None):
        self.findings.append({"kind": "finding", "verdict": verdict, "topic": topic, "file": file,
                              "file_offset": place, "sequence": sequence})

    def read_catalog(self, file):
        data, place, expected = file.data, FILE_HEADER, FILE_HEADER
        while place + 24 <= len(data):
            stored, size, _, kind = struct.unpack_from("<IIQH", data, place)
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
        node, fields, at = struct.unpack_from("<Q", body)[0], {}, 16
        while at + 4 <= len(body):
            tag, length = struct.unpack_from("<HH", body, at)
            fields[tag] = body[at + 4:at + 4 + length]
            at += 4 + length
        if kind == TOPIC_CREATED and node not in self.deleted:
            self.topics[node] = Topic(self, node, fields.get(FIELD_NAME, b"").decode(errors="surrogateescape"))
        elif kind == TOPIC_TRIMMED and node in self.topics:
            self.topics[node].on_record = True
        elif kind == TOPIC_DELETED:
            self.deleted.add(node)
            self.topics.pop(node, None)
        elif kind == GROUP_CREATED:
            name = fields.get(FIELD_NAME, b"").decode(errors="surrogateescape")
            same = [id for id, group in self.groups.items() if group["group"] == name]
            if all(id < node for id in same):
                for id in same:
                    del self.groups[id]
                self.groups[node] = {"kind": "group", "group": name, "id": node}
        elif kind == GROUP_DELETED:
            self.groups.pop(node, None)
        elif kind == LOG_CHANGED:
            limit = struct.unpack("<Q", fields.get(FIELD_RETENTION_LIMIT, bytes(8)))[0]
            self.retention = RETENTIONS[fields.get(FIELD_RETENTION, b"\0")[0]].format(limit)
        if kind in (GROUP_CREATED, GROUP_CHANGED) and node in self.groups:
            mode = CONSISTENCIES[fields.get(FIELD_CONSISTENCY, b"\0")[0]]
            interval = struct.unpack("<I", fields.get(FIELD_INTERVAL, bytes(4)))[0]
            self.groups[node]["consistency"] = mode + (f":{interval}" if mode == "at-least-once" else "")

    def read_segment(self, name):
        file = File(self.directory, name, b"walrusSG", int(name[8:], 16))
        if not NOT_ZERO.search(file.data):
            return  # what a crash may leave
        if not file.valid or file.log_id != self.log_id:
            self.find("damaged", name, 0)
        self.segments += 1
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
            if topic is None or group != GROUP_HEAD and group not in self.groups:
                continue  # free
            if group == GROUP_HEAD:
                owner = self.topics[topic_id]
                owner.head, owner.head_known, owner.head_torn = sequence, True, written > len(valid)
            else:
                self.topics[topic_id].horizon = max(self.topics[topic_id].horizon, sequence)
                self.cursors.append({"kind": "cursor", "topic": topic, "topic_id": topic_id,
                                     "group": self.groups[group]["group"], "sequence": sequence})
            if written > len(valid):  # what a crash may leave
                self.find("torn", file.name, place, topic, sequence)

    def report(self, with_data):
        for topic in self.topics.values():
            yield {"kind": "topic", "name": topic.name, "id": topic.id, "entries": len(topic.entries),
                   "first_sequence": topic.head, "next_sequence": topic.next_sequence}
            for entry in topic.entries:
                line = {"kind": "entry", "topic": topic.name, "sequence": entry.sequence, "offset": entry.offset,
                        "time_ns": entry.time, "length": entry.size}
                if with_data:
                    line["data"] = base64.b64encode(entry.payload).decode()
                else:
                    line["sha256"] = hashlib.sha256(entry.payload).hexdigest()
                yield line
        yield {"kind": "log", "retention": self.retention}
        yield from self.groups.values()
        yield from self.cursors
        yield from self.findings
        entries = [entry for topic in self.topics.values() for entry in topic.entries]
        verdicts = [finding["verdict"] for finding in self.findings]
        yield {"kind": "summary", "topics": len(self.topics), "segments": self.segments, "entries": len(entries),
               "payload_bytes": sum(entry.size for entry in entries), "cursors": len(self.cursors),
               **{verdict: verdicts.count(verdict) for verdict in ("torn", "uncommitted", "superseded", "trimmed", "damaged")}}


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
