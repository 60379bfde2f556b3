import pytest
import torch

from partita.dsp.blocks import BlockBuffer


def filled():
    buffer = BlockBuffer()
    for start in (0, 4, 8):
        buffer.append(torch.arange(start, start + 4.0)[None])
    return buffer


def test_reads_across_blocks_and_keeps_them():
    buffer = filled()
    assert buffer.read(3, 9).tolist() == [[3, 4, 5, 6, 7, 8]]
    assert (buffer.start, buffer.end) == (0, 12)


def test_take_forgets():
    buffer = filled()
    assert buffer.take(5).tolist() == [[0, 1, 2, 3, 4]]
    assert buffer.take(2).tolist() == [[5, 6]]
    assert (buffer.start, buffer.end) == (7, 12)


def test_reading_what_is_gone_or_not_yet_there_fails():
    buffer = filled()
    buffer.drop(6)
    for start, end in [(5, 7), (10, 13), (8, 7)]:
        with pytest.raises(IndexError):
            buffer.read(start, end)
