import pytest
import torch

from partita.dsp.blocks import Aligner, BlockBuffer, until_last


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


def test_nothing_can_be_read_too():
    assert filled().read(5, 5).shape == (1, 0)


@pytest.mark.parametrize("made", [[3, 4], [10], [3, 7, 2], [0, 0, 9]])
def test_streams_in_step(made):
    """The first stream says how long all are."""
    given = [5, 5, 0][: len(made)]
    aligner, start = Aligner(2), 0
    pairs = []
    for number, (first, second) in enumerate(zip(given, made, strict=True), start=1):
        blocks = [torch.arange(start, start + float(first)), torch.ones(2, second)]
        pairs.append(aligner.push(blocks, last=number == len(made)))
        start += first
    assert all(one.shape[-1] == other.shape[-1] for one, other in pairs)
    assert torch.equal(torch.cat([one for one, _ in pairs]), torch.arange(float(sum(given))))
    expected = (torch.arange(sum(given)) < sum(made)).float().expand(2, sum(given))
    assert torch.equal(torch.cat([other for _, other in pairs], dim=-1), expected)


def test_the_last_block_is_an_empty_one():
    blocks = [torch.ones(2, 3), torch.ones(2, 1)]
    found = [(block.shape[-1], last) for block, last in until_last(blocks)]
    assert found == [(3, False), (1, False), (0, True)]
    assert list(until_last([])) == []
