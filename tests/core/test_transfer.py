"""A store on its way, chunk by chunk, over a network that loses, repeats and reorders, to a laggard that may forget."""

from __future__ import annotations

import random

import pytest

from nodes.core.transfer import NOT_BEGUN, REPEAT_TICKS, WINDOW, Chunk, ChunkTaken, Receiving, Sending

NUMBER, EPOCH, SLOT, CHUNK_BYTES = 7, 3, 40, 10


def chunk(offset: int, number: int = NUMBER, epoch: int = EPOCH, size: int = 95) -> Chunk:
    return Chunk(number, epoch, SLOT, size, offset, bytes(min(CHUNK_BYTES, size - offset)))


def test_a_window_of_chunks_is_under_way() -> None:
    sending = Sending(NUMBER, 95, CHUNK_BYTES)
    assert list(sending.due()) == [0, 10, 20, 30][:WINDOW]
    assert list(sending.due()) == []
    sending.on_taken(ChunkTaken(NUMBER, 20))
    assert list(sending.due()) == [40, 50]
    sending.on_taken(ChunkTaken(NUMBER + 1, 95))
    sending.on_taken(ChunkTaken(NUMBER, 10))
    assert (sending.taken, sending.is_done) == (20, False)


def test_what_is_not_taken_goes_again() -> None:
    sending = Sending(NUMBER, 95, CHUNK_BYTES)
    list(sending.due())
    sending.on_taken(ChunkTaken(NUMBER, 10))
    for _ in range(REPEAT_TICKS - 1):
        sending.tick()
    assert list(sending.due()) == [40]
    sending.tick()
    assert list(sending.due()) == [10, 20, 30, 40]


def test_what_the_laggard_knows_nothing_of_goes_from_its_beginning() -> None:
    sending = Sending(NUMBER, 95, CHUNK_BYTES)
    list(sending.due())
    sending.on_taken(ChunkTaken(NUMBER, 30))
    sending.on_taken(ChunkTaken(NUMBER, NOT_BEGUN))
    for _ in range(REPEAT_TICKS):
        sending.tick()
    assert list(sending.due()) == [0, 10, 20, 30]


def test_a_laggard_that_began_anew_by_a_late_copy_is_followed() -> None:
    """It died when it had half of it, and a copy of the first chunk came late."""
    sending = Sending(NUMBER, 95, CHUNK_BYTES)
    list(sending.due())
    sending.on_taken(ChunkTaken(NUMBER, 40))
    list(sending.due())
    sending.on_taken(ChunkTaken(NUMBER, 10))
    for _ in range(REPEAT_TICKS):
        sending.tick()
    assert next(sending.due()) == 10


def test_a_late_word_of_that_changes_nothing_when_it_goes_on() -> None:
    sending = Sending(NUMBER, 95, CHUNK_BYTES)
    list(sending.due())
    sending.on_taken(ChunkTaken(NUMBER, NOT_BEGUN))
    sending.on_taken(ChunkTaken(NUMBER, 30))
    for _ in range(REPEAT_TICKS):
        sending.tick()
    assert next(sending.due()) == 30


@pytest.mark.parametrize(("number", "epoch", "is_old"), [(6, 3, True), (8, 3, False), (9, 2, True), (1, 4, False)])
def test_an_older_transfer_does_not_take_the_place_of_a_newer_one(number: int, epoch: int, is_old: bool) -> None:
    assert Receiving(1, chunk(0)).is_newer_than(chunk(0, number, epoch)) is is_old


@pytest.mark.parametrize("seed", range(200))
def test_it_arrives_whole_whatever_happens_on_the_way(seed: int) -> None:
    """The laggard forgets thrice; nothing is written out of order, and all of it once it is complete."""
    rng = random.Random(seed)
    content = rng.randbytes(rng.randint(1, 150))
    sending = Sending(NUMBER, len(content), CHUNK_BYTES)
    receiving: Receiving | None = None
    written, forgets = bytearray(), 3
    under_way: list[Chunk | ChunkTaken] = []
    for _ in range(20_000):
        if sending.is_done:
            break
        if not under_way or rng.random() < 0.1:  # messages come sooner than they are missed
            sending.tick()
        for offset in sending.due():
            data = content[offset : offset + CHUNK_BYTES]
            under_way.append(Chunk(NUMBER, EPOCH, SLOT, len(content), offset, data))
        if forgets and rng.random() < 0.02:
            receiving, forgets = None, forgets - 1
            written.clear()
        if not under_way or rng.random() < 0.1:
            continue
        message = under_way[rng.randrange(len(under_way))]
        if rng.random() < 0.8:
            under_way.remove(message)
        if rng.random() < 0.1:
            continue
        if isinstance(message, ChunkTaken):
            sending.on_taken(message)
        elif receiving is None and message.offset:
            under_way.append(ChunkTaken(NUMBER, NOT_BEGUN))
        else:
            receiving = receiving or Receiving(1, message)
            if receiving.takes(message):
                assert len(written) == message.offset
                written += message.data
            under_way.append(ChunkTaken(NUMBER, receiving.have))
    assert sending.is_done
    assert receiving is None or not receiving.is_complete or bytes(written) == content
