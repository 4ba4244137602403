#!/usr/bin/env python3
"""Appends to a topic and reads it back from Python, through ctypes and the shared library.

    ./from_python.py DIRECTORY TOPIC TEXT...            LIBWALRUS=path/to/libwalrus.so where it is not installed

The structs below are those of walrus.h 0.2, and hold for libraries that call themselves libwalrus.so.0 with symbols of
version WALRUS_0.2. struct walrus_options is long, so the environment sets what is wanted of it.
"""
import ctypes
import os
import sys

u64, size, pointer = ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("system_errno", ctypes.c_int), ("segment", u64), ("segment_offset", u64),
                ("sequence", u64), ("message", ctypes.c_char * 400)]


class Receipt(ctypes.Structure):
    _fields_ = [("sequence", u64), ("offset", u64)]


class Entry(ctypes.Structure):
    _fields_ = [("data", pointer), ("length", size), ("sequence", u64), ("offset", u64), ("time_ns", u64)]


class Entries(ctypes.Structure):
    _fields_ = [("items", ctypes.POINTER(Entry)), ("count", size), ("items_capacity", size), ("buffer", pointer),
                ("buffer_capacity", size), ("buffer_used", size)]


class Position(ctypes.Structure):
    _fields_ = [(name, u64) for name in ("sequence", "offset", "block", "place", "block_sequence", "block_offset",
                                         "verified")]


class Limits(ctypes.Structure):
    _fields_ = [("max_bytes", size), ("max_entries", size), ("count_delimiters", ctypes.c_bool)]


library = ctypes.CDLL(os.environ.get("LIBWALRUS", "libwalrus.so.0"))
library.walrus_version.restype = ctypes.c_char_p
# Without these, ctypes would pass pointers as 32-bit numbers.
library.walrus_open.argtypes = [pointer, ctypes.POINTER(pointer), pointer]
library.walrus_close.argtypes = [pointer, pointer]
library.walrus_topic_open.argtypes = [pointer, ctypes.c_char_p, ctypes.c_uint, pointer, ctypes.POINTER(pointer), pointer]
library.walrus_topic_close.argtypes = [pointer]
library.walrus_topic_close.restype = None
library.walrus_append.argtypes = [pointer, ctypes.c_char_p, size, ctypes.c_uint, pointer, pointer]
library.walrus_read_entries.argtypes = [pointer] * 5
library.walrus_entries_free.argtypes = [pointer]
library.walrus_entries_free.restype = None

CREATE, CREATE_PARENTS = 1 << 0, 1 << 2


def call(function, *arguments):
    """Every call takes a struct walrus_error last and returns 0 when all is well."""
    error = Error()
    if function(*arguments, ctypes.byref(error)) != 0:
        raise OSError(error.system_errno, error.message.decode(errors="replace"))


def main(directory, name, *texts):
    if not library.walrus_version().startswith(b"0.2."):
        sys.exit(f"made for walrus 0.2, this is {library.walrus_version().decode()}")
    options = ctypes.create_string_buffer(4096)  # larger than struct walrus_options
    os.environ["WALRUS_DATA_DIR"] = directory
    call(library.walrus_options_init, options)
    log, topic = pointer(), pointer()
    call(library.walrus_open, options, ctypes.byref(log))
    try:
        call(library.walrus_topic_open, log, name.encode(), CREATE | CREATE_PARENTS, None, ctypes.byref(topic))
        for text in texts:
            data, receipt = text.encode(), Receipt()
            call(library.walrus_append, topic, data, len(data), 0, ctypes.byref(receipt))
        position, entries, limits = Position(), Entries(), Limits(max_bytes=1 << 20)
        while True:
            call(library.walrus_read_entries, topic, ctypes.byref(position), ctypes.byref(limits), ctypes.byref(entries))
            if entries.count == 0:
                break
            for entry in entries.items[:entries.count]:
                print(f"{entry.sequence}: {ctypes.string_at(entry.data, entry.length).decode()}")
        library.walrus_entries_free(ctypes.byref(entries))
        library.walrus_topic_close(topic)
    finally:
        call(library.walrus_close, log)


if len(sys.argv) < 3:
    sys.exit("usage: from_python.py DIRECTORY TOPIC TEXT...")
main(*sys.argv[1:])
