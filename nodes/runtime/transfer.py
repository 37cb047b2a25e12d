"""One group's part in handing stores to replicas that the log cannot help any more (nodes/core/transfer.py).

Who leads copies its store, in a thread, for each laggard that its log names, and sends it chunk by chunk; before it
serves, too: when the third replica is gone for good, its own first entry may wait for just that laggard. Who lags
writes the chunks, makes them durable in a thread, and then exchanges store and state machine in one turn.

*Invariants*: a store is replaced only by one that has applied more, on a replica that does not lead; the log hears of
it when the store is durable; a copy goes when its laggard is served, has gone silent for good, or this node leads no
more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nodes.core.engine import Copy, Incoming, Store, Stores
from nodes.core.transfer import NOT_BEGUN, Chunk, ChunkTaken, Receiving, Sending

if TYPE_CHECKING:
    from nodes.runtime.group import Group

REST_TICKS = 40  # after a copy was taken, before another is thought of: the laggard has yet to say so in the log


class _Outgoing:
    """One copy on its way to one peer."""

    def __init__(self, sending: Sending, copy: Copy, epoch: int, slot: int) -> None:
        self.sending = sending
        self.copy = copy
        self.epoch = epoch
        self.slot = slot


class Transfer:
    """`numbers` names transfers, unique over the lives of this node."""

    def __init__(self, group: Group, stores: Stores, first_number: int) -> None:
        self.group = group
        self.stores = stores
        self.installed = 0  # copies taken over
        self._number = first_number
        self._copying: set[int] = set()
        self._outgoing: dict[int, _Outgoing] = {}
        self._rest_until: dict[int, int] = {}
        self._slots: dict[int, int] = {}  # of the last copy for each peer
        self._receiving: Receiving | None = None
        self._incoming: Incoming | None = None
        self._is_sealing = False

    # -- the leader's side

    def tick(self) -> None:
        group = self.group
        laggards = group.log.laggards()
        if not laggards and not self._outgoing:
            return
        for peer in [peer for peer, out in self._outgoing.items() if not self._is_wanted(peer, out, laggards)]:
            self._outgoing.pop(peer).copy.close()
        for peer in laggards:
            if not self._is_at_it(peer):
                self._begin(peer)
        for peer, out in self._outgoing.items():
            out.sending.tick()
            self._send_due(peer, out)

    def oldest_slot(self) -> int | None:
        """The log is still needed behind this slot, by those who get a copy, or have just got one."""
        slots = [slot for peer, slot in self._slots.items() if self._is_at_it(peer)]
        return min(slots, default=None)

    def _is_at_it(self, peer: int) -> bool:
        resting = self._rest_until.get(peer, 0) > self.group.now
        return self.group.log.leads and (peer in self._copying or peer in self._outgoing or resting)

    def _is_wanted(self, peer: int, out: _Outgoing, laggards: list[int]) -> bool:
        return peer in laggards and self._is_led_in(out.epoch)

    def _is_led_in(self, epoch: int) -> bool:
        return self.group.log.leads and self.group.log.epoch == epoch

    def _begin(self, peer: int) -> None:
        group, store = self.group, self.group.store
        epoch, slot = group.log.epoch, store.applied
        self._copying.add(peer)
        self._slots[peer] = slot

        def copied(copy: Copy | None, error: BaseException | None) -> None:
            self._copying.discard(peer)
            if copy is None:
                group.driver.log.error("the store of %s could not be copied for n%d: %s", group.group, peer, error)
                self._rest_until[peer] = group.now + REST_TICKS
            elif not self._is_led_in(epoch) or peer not in group.log.laggards():
                copy.close()
            else:
                self._number += 1
                sending = Sending(self._number, copy.size, group.driver.constants.chunk_bytes)
                out = self._outgoing[peer] = _Outgoing(sending, copy, epoch, slot)
                group.driver.log.info("%s: sending n%d a store of %d bytes", group.group, peer, copy.size)
                self._send_due(peer, out)

        group.read(store.copy, copied)

    def _send_due(self, peer: int, out: _Outgoing) -> None:
        sending = out.sending
        for offset in sending.due():
            data = out.copy.read(offset, sending.chunk_bytes)
            chunk = Chunk(sending.number, out.epoch, out.slot, sending.size, offset, data)
            self.group.send(peer, self.group.group, chunk)

    def _on_taken(self, peer: int, message: ChunkTaken) -> None:
        out = self._outgoing.get(peer)
        if out is None:
            return
        out.sending.on_taken(message)
        if out.sending.is_done:
            self._outgoing.pop(peer).copy.close()
            self._rest_until[peer] = self.group.now + REST_TICKS
        else:
            self._send_due(peer, out)

    def close(self) -> None:
        """The replica is given up."""
        for out in self._outgoing.values():
            out.copy.close()
        self._outgoing.clear()
        if self._incoming is not None and not self._is_sealing:
            self._incoming.discard()

    # -- the laggard's side

    def receive(self, sender: int, message: Any) -> None:
        if isinstance(message, ChunkTaken):
            self._on_taken(sender, message)
        elif self.group.log.leads or message.slot <= self.group.delivered_slot:
            self._answer(sender, message.number, message.size)
        else:
            self._on_chunk(sender, message)

    def _on_chunk(self, sender: int, message: Chunk) -> None:
        receiving = self._receiving
        if receiving is None or not receiving.is_of(sender, message):
            if self._is_sealing or (receiving is not None and receiving.is_newer_than(message)):
                return
            if message.offset:
                self._answer(sender, message.number, NOT_BEGUN)
                return
            receiving = self._start(sender, message)
        assert self._incoming is not None, "what is received is written somewhere"
        if receiving.takes(message):
            self._incoming.write(message.offset, message.data)
        if not receiving.is_complete:
            self._answer(sender, message.number, receiving.have)
        elif not self._is_sealing:
            self._seal(receiving, self._incoming)

    def _start(self, sender: int, message: Chunk) -> Receiving:
        if self._incoming is not None:
            self._incoming.discard()
        self._incoming = self.stores.incoming(self.group.group)
        self._receiving = Receiving(sender, message)
        return self._receiving

    def _seal(self, receiving: Receiving, incoming: Incoming) -> None:
        self._is_sealing = True

        def sealed(_: Any, error: BaseException | None) -> None:
            self._is_sealing = False
            self._receiving = self._incoming = None
            group = self.group
            if error is not None:
                group.driver.log.error("a copy of %s could not be kept: %s", group.group, error)
            if error is not None or group.stopped or group.log.leads or receiving.slot <= group.delivered_slot:
                incoming.discard()
            else:
                self._exchange(incoming.install(), receiving.epoch)
            self._answer(receiving.sender, receiving.number, receiving.size)

        self.group.read(incoming.seal, sealed)

    def _exchange(self, store: Store, epoch: int) -> None:
        group, old = self.group, self.group.store
        group.replace(store, epoch)
        self.installed += 1
        group.driver.log.info("%s: took over a store at slot %d", group.group, store.applied)
        group.read(lambda: self.stores.retire(group.group, old), lambda _, error: None)

    def _answer(self, sender: int, number: int, offset: int) -> None:
        self.group.send(sender, self.group.group, ChunkTaken(number, offset))
