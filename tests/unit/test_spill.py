"""Blocks wait in memory, then on disk, and are read back as they were put."""

from __future__ import annotations

import os

from orchestrator.services.spill import Spill


def test_blocks_beyond_the_memory_are_read_back_from_disk() -> None:
    spill = Spill(held_bytes=1000)
    blocks = {os.urandom(32): os.urandom(400) for _ in range(10)}
    for digest, data in blocks.items():
        spill[digest] = data
        assert spill[next(iter(blocks))] == blocks[next(iter(blocks))]  # read between writes
    assert spill._file._rolled
    assert {digest: spill[digest] for digest in blocks} == blocks
    assert b"x" not in spill


def test_batches_hold_what_is_here_in_order_and_each_once() -> None:
    spill = Spill()
    for number in (3, 1, 2):
        spill[bytes([number])] = b"data %d" % number
    asked = [bytes([number]) for number in (2, 9, 3, 1, 2)]
    batches = list(spill.batches(asked, most=2))
    assert batches == [{b"\1": b"data 1", b"\2": b"data 2"}, {b"\3": b"data 3"}]
